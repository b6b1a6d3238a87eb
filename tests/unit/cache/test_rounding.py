from __future__ import annotations

import pytest
import torch

from weft.cache.rounding import round_rows


def test_a_row_is_put_on_steps_of_its_own_largest_value() -> None:
    rounded = round_rows(torch.tensor([[[1.0, -2.0, 0.0, 0.004], [127.0, 1.4, 1.6, -126.9]]]))
    assert rounded.values_THD.dtype == torch.int8
    # 1.0 stands on 63.5 steps, half way between two: it goes to the even one.
    assert rounded.values_THD.tolist() == [[[64, -127, 0, 0], [127, 1, 2, -127]]]
    assert rounded.scales_TH.tolist() == [[pytest.approx(2 / 127), 1.0]]


def test_zeros_stay_zeros_and_tiny_rows_become_them() -> None:
    rounded = round_rows(torch.tensor([[[0.0, -0.0], [1e-31, -1e-40]]]))
    assert not rounded.values_THD.any() and not rounded.scales_TH.any()
    assert not rounded.widen().any()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_a_row_that_is_no_numbers_is_lost_alone(bad: float) -> None:
    x = torch.tensor([[[1.0, 2.0], [bad, 3.0]]])
    rounded = round_rows(x)
    assert rounded.scales_TH.isnan().tolist() == [[False, True]]
    assert rounded.widen()[0, 1].isnan().all()
    assert torch.equal(rounded.widen()[0, 0], round_rows(x[:, :1]).widen()[0, 0])


def test_bfloat16_rows_round_as_their_float32_values() -> None:
    x = torch.randn(5, 2, 16, generator=torch.Generator().manual_seed(0)).bfloat16()
    for one, other in zip(round_rows(x), round_rows(x.float()), strict=True):
        assert torch.equal(one, other)

"""Rounding weights to 8 bits, and their layout."""

from __future__ import annotations

import pytest
import torch

from weft.runtime.engine.model.quantise import lay_out, pad_outputs, quantise


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rounded_by_the_largest_of_each_output(dtype: torch.dtype) -> None:
    weight_OI = (torch.randn(17, 30, generator=torch.Generator().manual_seed(0)) * 3).to(dtype)
    values_OI, scales_O = quantise(weight_OI)
    assert torch.equal(values_OI.abs().amax(1), torch.full((17,), 127))
    error_OI = (values_OI * scales_O[:, None] - weight_OI.float()).abs()
    assert (error_OI <= scales_O[:, None] * 0.501).all()


@pytest.mark.parametrize("value", [0.0, 1e-38])
def test_an_output_without_weights_is_zeros(value: float) -> None:
    weight_OI = torch.tensor([[value, -value], [1.0, -3e38]])
    values_OI, scales_O = quantise(weight_OI)
    assert values_OI.tolist() == [[0, 0], [0, -127]]
    assert scales_O[0] == 0 and scales_O.isfinite().all()


def test_four_inputs_of_an_output_stand_together() -> None:
    values_OI = torch.randint(-127, 128, (35, 6), dtype=torch.int8)
    panels = lay_out(values_OI)
    assert panels.shape == (2, 2, 32, 4)
    for output in range(64):
        for i in range(8):
            is_there = output < 35 and i < 6
            wanted = int(values_OI[output, i]) if is_there else 0
            assert int(panels[output // 32, i // 4, output % 32, i % 4]) - 128 == wanted


def test_outputs_are_padded_to_whole_panels() -> None:
    assert pad_outputs(torch.ones(33)).tolist() == [1.0] * 33 + [0.0] * 31
    assert pad_outputs(torch.ones(32)).tolist() == [1.0] * 32

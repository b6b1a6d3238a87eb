"""Rounding weights to integers, and their layout."""

from __future__ import annotations

import pytest
import torch

from weft.runtime.engine.model.quantise import (
    INT8,
    INT13,
    IntegerFormat,
    RoundedWeight,
    lay_out,
    round_weight,
)

FORMATS = [INT8, INT13]


def random_weight(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)) * 3


def length(rows_OI: torch.Tensor) -> torch.Tensor:
    return rows_OI.square().sum(1).sqrt()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rounded_by_the_largest_of_each_block(dtype: torch.dtype, form: IntegerFormat) -> None:
    weight_OI = random_weight(17, 300).to(dtype)
    rounded = round_weight(weight_OI, form)
    for block in range(3):
        values_OI = rounded.values_OI[:, 128 * block :][:, :128]
        assert torch.equal(values_OI.abs().amax(1).long(), torch.full((17,), form.largest))
        error_OI = (rounded.restore() - weight_OI.float()).abs()[:, 128 * block :][:, :128]
        assert (error_OI <= rounded.scales_OB[:, block, None] * 0.51).all()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("value", [0.0, 1e-38])
def test_a_block_without_weights_is_zeros(value: float, form: IntegerFormat) -> None:
    weight_OI = torch.tensor([[value, -value], [1.0, -3e38]])
    values_OI, scales_OB = round_weight(weight_OI, form)
    assert values_OI.tolist() == [[0, 0], [0, -form.largest]]
    assert scales_OB[0, 0] == 0 and scales_OB.isfinite().all()


def test_13_bits_lose_no_more_of_a_block_than_bfloat16() -> None:
    """Whatever a block holds, one value far above the rest among it."""
    for weight_OI in (random_weight(64, 128), random_weight(64, 128).pow(9)):
        weight_OI[:16, 5] *= 1e4
        lost_O = length(round_weight(weight_OI, INT13).restore() - weight_OI)
        assert (lost_O < length(weight_OI) * 2**-10.3 * 1.2).all()
    normal_OI = random_weight(64, 128)
    lost_O = length(round_weight(normal_OI, INT13).restore() - normal_OI)
    assert lost_O.mean() < length(normal_OI.bfloat16().float() - normal_OI).mean() / 4


@pytest.mark.parametrize("form", FORMATS)
def test_a_words_inputs_of_an_output_stand_together(form: IntegerFormat) -> None:
    outputs, inputs = 35, 131
    values_OI = torch.randint(-form.largest, form.largest + 1, (outputs, inputs)).short()
    scales_OB = torch.rand(outputs, 2)
    panels = lay_out(RoundedWeight(values_OI, scales_OB), form)
    size = form.num_in_word
    assert panels.shape == (2, 2 + -(-inputs // size), 32)
    scales = panels[:, [0, 1 + 128 // size]].view(torch.float32).transpose(1, 2).flatten(0, 1)
    assert torch.equal(scales[:outputs], scales_OB) and not scales[outputs:].any()
    is_word = torch.ones(panels.shape[1], dtype=torch.bool)
    is_word[[0, 1 + 128 // size]] = False
    words = panels[:, is_word].contiguous().view(form.dtype).view(2, -1, 32, size)
    got_OI = words.transpose(1, 2).reshape(64, -1).int() - form.shift
    assert torch.equal(got_OI[:outputs, :inputs], values_OI.int())
    assert not got_OI[outputs:].any() and not got_OI[:, inputs:].any()

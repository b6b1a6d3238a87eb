"""Products of integers, against sums of integers in numpy.

Shapes: R rows, I inputs, O outputs, B blocks of 128 inputs.
"""

from __future__ import annotations

import ctypes
import platform
import shutil
from ctypes import byref
from pathlib import Path

import numpy as np
import numpy.typing as npt
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
from weft.runtime.engine.native import Weight, library, load_kernels

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")

Floats = npt.NDArray[np.float32]

SHAPES = [(32, 64), (33, 5), (1, 1), (31, 63), (96, 16), (70, 130), (40, 257), (64, 384)]
FORMATS = [INT8, INT13]
BLOCK = 128


def product(
    kernels: ctypes.CDLL,
    x_RI: Floats,
    rounded: RoundedWeight,
    form: IntegerFormat,
    *,
    bias_O: Floats | None = None,
    onto_RO: Floats | None = None,
    num_threads: int = 1,
) -> Floats:
    """What the kernel makes of rows ``x_RI``, added to ``onto_RO`` where that is given."""
    outputs, inputs = rounded.values_OI.shape
    panels = lay_out(rounded, form)
    weight = Weight(
        panels=panels.data_ptr(),
        bias=None if bias_O is None else bias_O.ctypes.data,
        outputs=outputs,
        inputs=inputs,
        kind=form.kind,
    )
    x_RI = np.ascontiguousarray(x_RI)
    out_RO = np.full((len(x_RI), outputs), 7, np.float32) if onto_RO is None else onto_RO.copy()
    room = np.empty(len(x_RI) * (inputs + 2), np.float32)
    kernels.weft_multiply(
        byref(weight),
        x_RI.ctypes.data,
        len(x_RI),
        room.ctypes.data,
        out_RO.ctypes.data,
        outputs,
        onto_RO is not None,
        num_threads,
    )
    return out_RO


def whole_values(
    rng: np.random.Generator, rows: int, inputs: int, form: IntegerFormat
) -> tuple[npt.NDArray[np.int64], Floats]:
    """Integers [R, I] of which every block has one that is the largest there is, so that each
    stands for itself, and powers of two [R, B]."""
    values_RI = rng.integers(-form.largest, form.largest + 1, (rows, inputs))
    starts = range(0, inputs, BLOCK)
    for start in starts:
        places = rng.integers(start, min(start + BLOCK, inputs), rows)
        values_RI[np.arange(rows), places] = rng.choice([-form.largest, form.largest], rows)
    return values_RI, 2.0 ** rng.integers(-9, 9, (rows, len(starts))).astype(np.float32)


def spread(scales_RB: Floats, inputs: int) -> Floats:
    return scales_RB.repeat(BLOCK, 1)[:, :inputs]


def weight_of(values_OI: npt.NDArray[np.int64], scales_OB: Floats) -> RoundedWeight:
    return RoundedWeight(torch.from_numpy(values_OI.astype(np.int16)), torch.from_numpy(scales_OB))


def sums_of_blocks(
    x: tuple[npt.NDArray[np.int64], Floats], weight: tuple[npt.NDArray[np.int64], Floats]
) -> Floats:
    """Each block's sum exactly, made a float; the blocks added in their order."""
    (values_RI, steps_RB), (weights_OI, scales_OB) = x, weight
    total_RO = np.zeros((len(values_RI), len(weights_OI)), np.float32)
    for block, start in enumerate(range(0, values_RI.shape[1], BLOCK)):
        inputs = slice(start, start + BLOCK)
        sum_RO = (values_RI[:, inputs] @ weights_OI[:, inputs].T).astype(np.float32)
        scale_RO = np.outer(steps_RB[:, block], scales_OB[:, block])
        total_RO = (total_RO + sum_RO.astype(np.float64) * scale_RO).astype(np.float32)
    return total_RO


def check_sums(
    kernels: ctypes.CDLL, rows: int, outputs: int, inputs: int, form: IntegerFormat
) -> None:
    """Not one bit may differ: all scales are powers of two."""
    rng = np.random.default_rng([rows, outputs, inputs])
    values_RI, steps_RB = whole_values(rng, rows, inputs, form)
    weight = whole_values(rng, outputs, inputs, form)
    x_RI = (values_RI * spread(steps_RB, inputs)).astype(np.float32)
    got_RO = product(kernels, x_RI, weight_of(*weight), form)
    assert np.array_equal(got_RO, sums_of_blocks((values_RI, steps_RB), weight))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(("outputs", "inputs"), SHAPES)
@pytest.mark.parametrize("rows", [1, 2, 3, 7, 12, 13, 24, 40])
def test_sums_are_those_of_integers(
    rows: int, outputs: int, inputs: int, form: IntegerFormat
) -> None:
    check_sums(load_kernels(), rows, outputs, inputs, form)


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the flag is this processor's")
def test_without_the_instruction_the_sums_are_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(library, "FLAGS", (*library.FLAGS, "-mno-avx512vnni"))
    kernels = load_kernels(tmp_path)
    assert not kernels.weft_has_integer_products()
    for form in FORMATS:
        for outputs, inputs in SHAPES:
            for rows in (1, 5, 25):
                check_sums(kernels, rows, outputs, inputs, form)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("num_threads", [1, 2])
def test_bias_and_what_was_there_are_added(num_threads: int, form: IntegerFormat) -> None:
    rng = np.random.default_rng(1)
    values_RI, steps_RB = whole_values(rng, 15, 48, form)
    weight = whole_values(rng, 75, 48, form)
    bias_O = rng.integers(-99, 99, 75).astype(np.float32)
    onto_RO = rng.integers(-99, 99, (15, 75)).astype(np.float32)
    got_RO = product(
        load_kernels(),
        (values_RI * spread(steps_RB, 48)).astype(np.float32),
        weight_of(*weight),
        form,
        bias_O=bias_O,
        onto_RO=onto_RO,
        num_threads=num_threads,
    )
    wanted_RO = sums_of_blocks((values_RI, steps_RB), weight)
    assert np.array_equal(got_RO, (wanted_RO + bias_O) + onto_RO)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("sign", [-1, 1])
def test_the_largest_sums_do_not_overflow(form: IntegerFormat, sign: int) -> None:
    inputs = 100 * BLOCK
    x_RI = np.full((1, inputs), form.largest, np.float32)
    weights_OI = np.full((2, inputs), sign * form.largest)
    rounded = weight_of(weights_OI, np.ones((2, 100), np.float32))
    got_RO = product(load_kernels(), x_RI, rounded, form)
    np.testing.assert_allclose(got_RO, sign * form.largest**2 * inputs, rtol=1e-6)


@pytest.mark.parametrize("form", FORMATS)
def test_real_values_are_rounded_to_the_nearest(form: IntegerFormat) -> None:
    rng = np.random.default_rng(2)
    x_RI = rng.standard_normal((9, 300)).astype(np.float32)
    weight_OI = rng.standard_normal((40, 300)).astype(np.float32)
    rounded = round_weight(torch.from_numpy(weight_OI), form)
    x_rounded_RI = round_weight(torch.from_numpy(x_RI), form).restore().numpy()
    got_RO = product(load_kernels(), x_RI, rounded, form)
    wanted_RO = x_rounded_RI.astype(np.float64) @ rounded.restore().numpy().T
    # A value between two steps may go to either, by the rounding of one product.
    step = np.abs(x_RI).max() / form.largest * np.abs(weight_OI).max()
    assert np.abs(got_RO - wanted_RO).max() < 2 * step + 1e-4
    loss = np.linalg.norm(got_RO - x_RI.astype(np.float64) @ weight_OI.T)
    assert loss < 1.2 / form.largest * np.linalg.norm(got_RO)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("fault", [np.nan, np.inf, -np.inf, 3e38, 1e-44, 0.0])
def test_a_strange_row_is_its_own_affair(fault: float, form: IntegerFormat) -> None:
    rng = np.random.default_rng(3)
    x_RI = rng.standard_normal((20, 150)).astype(np.float32)
    weights_OI, _ = whole_values(rng, 40, 150, form)
    scales_OB = (rng.random((40, 2)) / form.largest).astype(np.float32)
    bias_O = rng.standard_normal(40).astype(np.float32)
    kernels, rounded = load_kernels(), weight_of(weights_OI, scales_OB)
    healthy_RO = product(kernels, x_RI, rounded, form, bias_O=bias_O)
    x_RI[6] = 0
    x_RI[6, 41] = fault
    got_RO = product(kernels, x_RI, rounded, form, bias_O=bias_O)
    others = np.arange(20) != 6
    assert np.array_equal(got_RO[others], healthy_RO[others])
    if np.isfinite(fault):
        wanted_O = fault * weights_OI[:, 41] * scales_OB[:, 0].astype(np.float64) + bias_O
        np.testing.assert_allclose(got_RO[6], wanted_O, rtol=1e-5)
    else:
        assert np.isnan(got_RO[6]).all()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("num_threads", [1, 2])
def test_bits_do_not_depend_on_the_other_rows(num_threads: int, form: IntegerFormat) -> None:
    rng = np.random.default_rng(4)
    x_RI = rng.standard_normal((40, 277)).astype(np.float32)
    rounded = round_weight(torch.from_numpy(rng.standard_normal((90, 277))), form)
    bias_O = rng.standard_normal(90).astype(np.float32)
    onto_RO = rng.standard_normal((40, 90)).astype(np.float32)
    kernels = load_kernels()

    def rows(of: slice, num_threads: int) -> Floats:
        return product(
            kernels,
            x_RI[of],
            rounded,
            form,
            bias_O=bias_O,
            onto_RO=onto_RO[of],
            num_threads=num_threads,
        )

    alone_RO = np.concatenate([rows(slice(row, row + 1), 1) for row in range(40)])
    for count in range(1, 41):
        assert np.array_equal(rows(slice(count), num_threads), alone_RO[:count])

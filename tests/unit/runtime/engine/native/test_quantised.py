"""Products with 8-bit weights, against sums of integers in numpy.

Shapes: R rows, I inputs, O outputs.
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

from weft.runtime.engine.model.quantise import lay_out, pad_outputs, quantise
from weft.runtime.engine.native import Weight, library, load_kernels

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.int8]

SHAPES = [(32, 64), (33, 5), (1, 1), (31, 63), (96, 16), (70, 130), (200, 257)]


def product(
    kernels: ctypes.CDLL,
    x_RI: Floats,
    values_OI: Bytes,
    scales_O: Floats,
    *,
    bias_O: Floats | None = None,
    onto_RO: Floats | None = None,
    num_threads: int = 1,
) -> Floats:
    """What the kernel makes of rows ``x_RI``, added to ``onto_RO`` where that is given."""
    outputs, inputs = values_OI.shape
    panels = lay_out(torch.from_numpy(values_OI))
    scales = pad_outputs(torch.from_numpy(scales_O))
    bias = None if bias_O is None else pad_outputs(torch.from_numpy(bias_O))
    weight = Weight(
        panels=panels.data_ptr(),
        bias=None if bias is None else bias.data_ptr(),
        scales=scales.data_ptr(),
        outputs=outputs,
        inputs=inputs,
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


def whole_rows(rng: np.random.Generator, rows: int, inputs: int) -> tuple[Bytes, Floats]:
    """Rows whose largest value stands for 127, so that each value stands for itself, and the
    powers of two they are multiplied by."""
    values_RI = rng.integers(-127, 128, (rows, inputs)).astype(np.int8)
    values_RI[np.arange(rows), rng.integers(0, inputs, rows)] = rng.choice([-127, 127], rows)
    return values_RI, 2.0 ** rng.integers(-9, 9, rows).astype(np.float32)


def check_sums(kernels: ctypes.CDLL, rows: int, outputs: int, inputs: int) -> None:
    """All numbers are exact in float32, so that not one bit may differ."""
    rng = np.random.default_rng([rows, outputs, inputs])
    values_RI, steps_R = whole_rows(rng, rows, inputs)
    weights_OI = rng.integers(-127, 128, (outputs, inputs)).astype(np.int8)
    scales_O = 2.0 ** rng.integers(-9, 9, outputs).astype(np.float32)
    sums_RO = values_RI.astype(np.int64) @ weights_OI.T.astype(np.int64)
    wanted_RO = sums_RO * steps_R[:, None] * scales_O
    x_RI = values_RI * steps_R[:, None]
    assert np.array_equal(product(kernels, x_RI, weights_OI, scales_O), wanted_RO)


@pytest.mark.parametrize(("outputs", "inputs"), SHAPES)
@pytest.mark.parametrize("rows", [1, 2, 3, 7, 12, 13, 24, 40])
def test_sums_are_those_of_integers(rows: int, outputs: int, inputs: int) -> None:
    check_sums(load_kernels(), rows, outputs, inputs)


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the flag is this processor's")
def test_without_the_instruction_the_sums_are_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(library, "FLAGS", (*library.FLAGS, "-mno-avx512vnni"))
    kernels = load_kernels(tmp_path)
    for outputs, inputs in SHAPES:
        for rows in (1, 5, 25):
            check_sums(kernels, rows, outputs, inputs)


@pytest.mark.parametrize("num_threads", [1, 2])
def test_bias_and_what_was_there_are_added(num_threads: int) -> None:
    rng = np.random.default_rng(1)
    values_RI, _ = whole_rows(rng, 15, 48)
    weights_OI = rng.integers(-127, 128, (75, 48)).astype(np.int8)
    ones_O = np.ones(75, np.float32)
    bias_O = rng.integers(-99, 99, 75).astype(np.float32)
    onto_RO = rng.integers(-99, 99, (15, 75)).astype(np.float32)
    sums_RO = values_RI.astype(np.int64) @ weights_OI.T.astype(np.int64)
    got_RO = product(
        load_kernels(),
        values_RI.astype(np.float32),
        weights_OI,
        ones_O,
        bias_O=bias_O,
        onto_RO=onto_RO,
        num_threads=num_threads,
    )
    assert np.array_equal(got_RO, sums_RO + bias_O + onto_RO)


def test_the_longest_rows_do_not_overflow() -> None:
    inputs = 100_000
    x_RI = np.full((1, inputs), 127, np.float32)
    weights_OI = np.full((2, inputs), -127, np.int8)
    got_RO = product(load_kernels(), x_RI, weights_OI, np.ones(2, np.float32))
    assert np.array_equal(got_RO, np.full((1, 2), -127 * 127 * inputs, np.float32))


def test_real_values_are_rounded_to_the_nearest() -> None:
    rng = np.random.default_rng(2)
    x_RI = rng.standard_normal((9, 300)).astype(np.float32)
    weight_OI = rng.standard_normal((40, 300)).astype(np.float32)
    values_OI, scales_O = quantise(torch.from_numpy(weight_OI))
    steps_R1 = np.abs(x_RI).max(1, keepdims=True) / 127.0
    rounded_RI = np.rint(x_RI / steps_R1) * steps_R1
    wanted_RO = rounded_RI @ (values_OI * scales_O[:, None]).numpy().T
    got_RO = product(load_kernels(), x_RI, values_OI.numpy(), scales_O.numpy())
    assert np.abs(got_RO - wanted_RO).max() < 1e-3
    assert np.linalg.norm(got_RO - x_RI @ weight_OI.T) < 0.015 * np.linalg.norm(got_RO)


@pytest.mark.parametrize("fault", [np.nan, np.inf, -np.inf, 3e38, 1e-44, 0.0])
def test_a_strange_row_is_its_own_affair(fault: float) -> None:
    rng = np.random.default_rng(3)
    x_RI = rng.standard_normal((20, 50)).astype(np.float32)
    weights_OI = rng.integers(-127, 128, (40, 50)).astype(np.int8)
    scales_O = (rng.random(40) / 127).astype(np.float32)
    bias_O = rng.standard_normal(40).astype(np.float32)
    kernels = load_kernels()
    healthy_RO = product(kernels, x_RI, weights_OI, scales_O, bias_O=bias_O)
    x_RI[6] = 0
    x_RI[6, 41] = fault
    got_RO = product(kernels, x_RI, weights_OI, scales_O, bias_O=bias_O)
    others = np.arange(20) != 6
    assert np.array_equal(got_RO[others], healthy_RO[others])
    if np.isfinite(fault):
        wanted_O = fault * weights_OI[:, 41] * scales_O.astype(np.float64) + bias_O
        np.testing.assert_allclose(got_RO[6], wanted_O, rtol=1e-5)
    else:
        assert np.isnan(got_RO[6]).all()


@pytest.mark.parametrize("num_threads", [1, 2])
def test_bits_do_not_depend_on_the_other_rows(num_threads: int) -> None:
    rng = np.random.default_rng(4)
    x_RI = rng.standard_normal((40, 77)).astype(np.float32)
    weights_OI = rng.integers(-127, 128, (90, 77)).astype(np.int8)
    scales_O = rng.random(90).astype(np.float32)
    bias_O = rng.standard_normal(90).astype(np.float32)
    onto_RO = rng.standard_normal((40, 90)).astype(np.float32)
    kernels = load_kernels()
    alone_RO = np.concatenate(
        [
            product(
                kernels,
                x_RI[row : row + 1],
                weights_OI,
                scales_O,
                bias_O=bias_O,
                onto_RO=onto_RO[row : row + 1],
            )
            for row in range(40)
        ]
    )
    for count in range(1, 41):
        got_RO = product(
            kernels,
            x_RI[:count],
            weights_OI,
            scales_O,
            bias_O=bias_O,
            onto_RO=onto_RO[:count],
            num_threads=num_threads,
        )
        assert np.array_equal(got_RO, alone_RO[:count])

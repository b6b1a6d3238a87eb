"""Limits that make sense, and hints that a model may exaggerate."""

from __future__ import annotations

import math

import pytest

from weft.errors import InvalidRequest
from weft.tools.sandbox import SandboxLimits

MIB = 1 << 20
QUOTA = SandboxLimits(memory_bytes=1024 * MIB, cpus=2, max_processes=32, wall_s=30)


@pytest.mark.parametrize(
    "name", ["memory_bytes", "cpus", "max_processes", "wall_s", "output_bytes", "workspace_bytes"]
)
@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan])
def test_nonsense_is_refused(name: str, value: float) -> None:
    with pytest.raises(InvalidRequest, match=name):
        SandboxLimits(**{name: value})  # type: ignore[arg-type]


def test_memory_in_which_nothing_starts_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="memory_bytes"):
        SandboxLimits(memory_bytes=MIB)


@pytest.mark.parametrize(
    ("hint", "mib"),
    [
        ("low", 128),
        (" Medium ", 512),
        ("high", 1024),
        ("1000 GB", 1024),
        ("300 MiB", 300),
        ("0.5g", 512),
        ("1", 16),
        (700 * MIB, 700),
        (10**30, 1024),
        (-5, 16),
    ],
)
def test_a_hint_is_clamped(hint: str | int, mib: int) -> None:
    assert SandboxLimits().clamped(hint, QUOTA).memory_bytes == mib * MIB


def test_all_else_is_clamped_too() -> None:
    clamped = SandboxLimits(cpus=8, max_processes=9, wall_s=900).clamped("low", QUOTA)
    assert (clamped.cpus, clamped.max_processes, clamped.wall_s) == (2, 9, 30)
    assert clamped.output_bytes == SandboxLimits().output_bytes


@pytest.mark.parametrize("hint", ["", "much", "-3 GB", "1e9", "nan", "5 parsecs", "9" * 400])
def test_an_odd_hint_is_refused(hint: str) -> None:
    with pytest.raises(InvalidRequest, match="hint"):
        SandboxLimits().clamped(hint, QUOTA)

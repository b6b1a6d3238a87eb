"""The prefix bench: its arithmetic on a fake, and its driver on a tiny model."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from tests.support.bench import TINY
from weft.runtime.bench.checkpoint import write_checkpoint
from weft.runtime.bench.driver import Driver
from weft.runtime.bench.options import BenchOptions
from weft.runtime.bench.prefix import measure_prefix

SECONDS = {(1024, True): 0.1, (1024, False): 0.2, (16384, True): 0.4, (16384, False): 1.6}
ADDED = 4.0 * 16 * 16 * 64 * 15360 * 32


class FakeDriver:
    """A machine whose matrix product would do what the long prefix adds in a tenth of a second."""

    def __init__(self, path: str = "native") -> None:
        self.path = path

    def call(self, operation: str, *, timeout_s: float = 0.0, **arguments: Any) -> Any:
        if operation == "step":
            return SECONDS[arguments["prefix"], arguments["shares"]]
        return {"load": self.path, "prepare": 1, "matrix_rate": ADDED / 0.1}[operation]


def test_figures_compare_rates_and_name_the_bound() -> None:
    findings = measure_prefix(cast("Driver", FakeDriver()), Path("m197"), BenchOptions())
    assert findings.figures == pytest.approx(
        {
            "prefix_16k_vs_1k_b32": 0.25,
            "prefix_16k_vs_plain_b32": 4.0,
            "prefix_1k_vs_plain_b32": 2.0,
            "prefix_shared_1k_tokens_per_s_b32": 320.0,
            "prefix_plain_1k_tokens_per_s_b32": 160.0,
            "prefix_shared_16k_tokens_per_s_b32": 80.0,
            "prefix_plain_16k_tokens_per_s_b32": 20.0,
            "prefix_attention_gflops_b32": ADDED / 0.3 / 1e9,
            "prefix_matrix_gflops": ADDED / 0.1 / 1e9,
            "prefix_16k_vs_1k_at_matrix_rate_b32": 0.5,
        }
    )
    assert {row["num_rounds"] for row in findings.rows} == {5}
    assert {basis.num_rounds for basis in findings.basis.values()} == {5}
    assert set(findings.basis) == set(findings.figures)


def test_without_the_kernels_nothing_is_measured() -> None:
    findings = measure_prefix(cast("Driver", FakeDriver("fused")), Path("m197"), BenchOptions())
    assert not findings.figures
    assert "fused" in findings.missing[0]


@pytest.mark.slow
def test_the_driver_steps_both_ways(tmp_path: Path) -> None:
    module = importlib.import_module("weft.runtime.bench.drivers.weft_prefix_driver")
    driver = cast("Mapping[str, Callable[..., Any]]", module.open_driver())
    assert driver["load"](model=str(write_checkpoint(tmp_path / "tiny", TINY, seed=0))) in (
        "native",
        "fused",
    )
    driver["prepare"](prefix=64, batch=3, seed=0)
    for shares in (True, False):
        assert driver["step"](prefix=64, shares=shares, times=1) > 0.0
    assert driver["matrix_rate"]() > 0.0

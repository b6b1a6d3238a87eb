"""The overhead bench: its arithmetic on fakes, and weft's own side for real."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from weft.errors import PeerFailed
from weft.runtime.bench import overhead
from weft.runtime.bench.contender import own_environment
from weft.runtime.bench.driver import Driver
from weft.runtime.bench.options import BenchOptions
from weft.runtime.bench.overhead import measure_overhead


class FakeDriver:
    """Takes ``step_s`` per Step and ``size`` bytes per parked program."""

    def __init__(self, peer: str, step_s: float, size: float, broken: str = "") -> None:
        self.peer, self.step_s, self.size, self.broken = peer, step_s, size, broken

    def call(self, operation: str, *, timeout_s: float = 0.0, **arguments: Any) -> Any:
        if operation == self.broken:
            raise PeerFailed("It broke.", peer=self.peer)
        if operation == "version":
            return "1.2"
        if operation == "park":
            return self.size
        return self.step_s * arguments["num_programs"] * arguments["num_steps"]

    def __enter__(self) -> FakeDriver:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing was opened."""


def opener(driver: FakeDriver) -> overhead.Opener:
    return lambda: cast("Driver", driver)


WEFT = opener(FakeDriver("weft", 1e-4, 9_000.0))


def test_figures_are_per_step_and_against_the_peer() -> None:
    peer = opener(FakeDriver("langgraph", 5e-4, 90_000.0))
    findings = measure_overhead({"weft": WEFT, "langgraph": peer}, BenchOptions())
    assert findings.figures == pytest.approx(
        {
            "step_time_us": 100.0,
            "langgraph_step_time_us": 500.0,
            "step_time_vs_langgraph": 0.2,
            "fan_out_time_us": 100.0,
            "langgraph_fan_out_time_us": 500.0,
            "fan_out_time_vs_langgraph": 0.2,
            "gen_step_time_us": 100.0,
            "bytes_per_parked_program": 9_000.0,
            "langgraph_bytes_per_parked_program": 90_000.0,
            "bytes_per_parked_program_vs_langgraph": 0.1,
        }
    )
    assert findings.versions == {"langgraph": "1.2"}


@pytest.mark.parametrize("broken", ["version", "fan_out", "park"])
def test_a_broken_peer_is_named_and_leaves_our_figures(broken: str) -> None:
    peer = opener(FakeDriver("langgraph", 5e-4, 90_000.0, broken))
    findings = measure_overhead({"weft": WEFT, "langgraph": peer}, BenchOptions())
    assert findings.missing == ["langgraph: It broke."]
    assert not [name for name in findings.figures if "langgraph" in name]
    assert findings.figures["step_time_us"] == pytest.approx(100.0)


def test_our_own_failure_is_raised() -> None:
    weft = opener(FakeDriver("weft", 1e-4, 9_000.0, "park"))
    with pytest.raises(PeerFailed, match="It broke"):
        measure_overhead({"weft": weft}, BenchOptions())


def test_missing_peer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overhead, "_open_weft", WEFT)
    findings = overhead.bench_overhead(BenchOptions(peers_folder=tmp_path))
    assert len(findings.missing) == 1 and "make peers" in findings.missing[0]


def weft_operations() -> Mapping[str, Callable[..., float]]:
    module = importlib.import_module("weft.runtime.bench.drivers.weft_overhead_driver")
    return cast("Mapping[str, Callable[..., float]]", module.open_driver())


@pytest.mark.parametrize("operation", ["sequence", "generations"])
def test_our_driver_runs_steps(operation: str) -> None:
    assert weft_operations()[operation](num_programs=1, num_steps=3) > 0.0


def test_our_driver_fans_out() -> None:
    assert weft_operations()["fan_out"](num_programs=1, num_steps=4, width=2) > 0.0


@pytest.mark.slow
def test_our_driver_parks() -> None:
    # In a process of its own: elsewhere the programs would fit into memory freed before.
    script = "weft_overhead_driver.py"
    with Driver(Path(sys.executable), script, peer="weft", env=own_environment()) as driver:
        size = driver.call("park", num_programs=500)
    assert 1_000.0 < size < 100_000.0

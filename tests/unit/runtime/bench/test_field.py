"""Engines side by side: who runs on, what is noted, who leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from weft.errors import PeerFailed
from weft.runtime.bench.contender import Contender
from weft.runtime.bench.driver import Driver
from weft.runtime.bench.field import Field
from weft.runtime.bench.findings import Findings
from weft.runtime.bench.workload import Workload

WEFT = Contender(kind="weft", script="", dtype="auto")
HALF = Contender(kind="peer", script="", dtype="bfloat16")
WHOLE = Contender(kind="peer", script="", dtype="float32")


class FakeDriver:
    """Takes ``step_s`` per step; fails from call number ``fails_at`` on."""

    def __init__(self, peer: str, step_s: float, fails_at: int = 10**9) -> None:
        self.peer, self.step_s, self.fails_at = peer, step_s, fails_at
        self.num_calls = 0
        self.is_closed = False

    def call(self, operation: str, *, timeout_s: float = 0.0, **arguments: Any) -> Any:
        self.num_calls += 1
        if self.num_calls >= self.fails_at:
            raise PeerFailed("It broke.", peer=self.peer)
        if operation == "load":
            return f"1.{len(self.peer)}"
        return self.step_s * arguments["num_tokens"]

    def close(self) -> None:
        self.is_closed = True

    def __enter__(self) -> FakeDriver:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def run(drivers: dict[str, FakeDriver], *, num_races: int = 1) -> Findings:
    """Load them all and race one workload, with a pilot the first time."""
    findings = Findings()
    field = Field(
        findings,
        start=lambda contender: cast("Driver", drivers[contender.name]),
        may_go_on=lambda: True,
        say=lambda line: None,
    )
    workload = Workload(model="mini", phase="decode", batch=2, prompt_tokens=4, seed=0)
    with field:
        field.load([WEFT, HALF, WHOLE], Path("mini"), seed=0)
        for number in range(num_races):
            field.race(workload, num_rounds=3, seconds=0.1, has_pilot=number == 0)
    return findings


def drivers(*, half_s: float = 0.04, whole_s: float = 0.02) -> dict[str, FakeDriver]:
    return {
        "weft": FakeDriver("weft", 0.01),
        "peer-bfloat16": FakeDriver("peer-bfloat16", half_s),
        "peer-float32": FakeDriver("peer-float32", whole_s),
    }


def test_ratio_is_taken_against_the_faster_variant() -> None:
    findings = run(drivers())
    assert findings.figures == pytest.approx(
        {
            "mini_decode_weft_tokens_per_s_b2": 200.0,
            "mini_decode_peer_tokens_per_s_b2": 100.0,
            "mini_decode_vs_peer_b2": 2.0,
        }
    )
    rows = {row["contender"]: row["num_rounds"] for row in findings.rows}
    assert rows == {"peer-bfloat16": 0, "weft": 3, "peer-float32": 3}
    assert findings.versions["peer"] == "1.12"
    assert findings.missing == []


def test_without_a_pilot_the_chosen_variants_run_on() -> None:
    started = drivers(half_s=0.005)
    findings = run(started, num_races=2)
    assert findings.figures["mini_decode_vs_peer_b2"] == pytest.approx(0.5)
    assert started["peer-float32"].num_calls == 1 + 2


def test_a_contender_is_left_out_only_where_the_batch_is_larger_than_it_takes() -> None:
    started = {"weft": FakeDriver("weft", 0.01), "bound": FakeDriver("bound", 0.005)}
    findings = Findings()
    field = Field(
        findings,
        start=lambda contender: cast(Driver, started[contender.name]),
        may_go_on=lambda: True,
        say=lambda line: None,
    )
    with field:
        bound = Contender(kind="bound", script="", dtype="auto", max_batch=1)
        field.load([WEFT, bound], Path("mini"), seed=0)
        for batch, has_pilot in ((2, True), (1, False)):
            workload = Workload(model="mini", phase="decode", batch=batch, prompt_tokens=4, seed=0)
            field.race(workload, num_rounds=1, seconds=0.1, has_pilot=has_pilot)
    assert "mini_decode_vs_bound_b2" not in findings.figures
    assert findings.figures["mini_decode_vs_bound_b1"] == pytest.approx(0.5)


def test_processes_end_with_the_field() -> None:
    started = drivers()
    run(started)
    assert all(driver.is_closed for driver in started.values())


@pytest.mark.parametrize("fails_at", [1, 2, 5], ids=["load", "pilot", "round"])
def test_a_peer_that_fails_is_named_and_the_others_go_on(fails_at: int) -> None:
    started = drivers()
    for name in ("peer-bfloat16", "peer-float32"):
        started[name].fails_at = fails_at
    findings = run(started)
    assert "mini_decode_weft_tokens_per_s_b2" in findings.figures
    assert "mini_decode_vs_peer_b2" not in findings.figures
    assert "peer-float32 on mini: It broke." in findings.missing
    assert started["peer-float32"].is_closed


def test_our_own_failure_is_raised() -> None:
    started = drivers()
    started["weft"].fails_at = 3
    with pytest.raises(PeerFailed) as caught:
        run(started)
    assert caught.value.peer == "weft"

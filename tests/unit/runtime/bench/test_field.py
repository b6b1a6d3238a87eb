"""Engines side by side: who runs on, what is noted, who leaves."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from tests.support.bench import FakeDriver
from weft.errors import PeerFailed
from weft.runtime.bench.contender import Contender
from weft.runtime.bench.driver import Driver
from weft.runtime.bench.field import Field
from weft.runtime.bench.findings import Findings
from weft.runtime.bench.report import Basis
from weft.runtime.bench.workload import Workload

WEFT = Contender(kind="weft", script="", dtype="auto")
HALF = Contender(kind="peer", script="", dtype="bfloat16")
WHOLE = Contender(kind="peer", script="", dtype="float32")


DECODE = Workload(model="mini", phase="decode", batch=2, prompt_tokens=4, seed=0)


def field(findings: Findings, drivers: dict[str, FakeDriver]) -> Field:
    return Field(
        findings,
        start=lambda contender: cast("Driver", drivers[contender.name]),
        say=lambda line: None,
    )


def race(started: Field, workload: Workload = DECODE, *, has_own_dtype: bool = False) -> None:
    started.race(
        workload,
        num_rounds=3,
        seconds=0.1,
        may_go_on=lambda: True,
        has_own_dtype=has_own_dtype,
    )


def run(drivers: dict[str, FakeDriver], *, has_own_dtype: bool = False) -> Findings:
    """Load them all, try them and race one workload."""
    findings = Findings()
    with closing(field(findings, drivers)) as started:
        started.load([WEFT, HALF, WHOLE], Path("mini"), seed=0)
        started.choose(DECODE)
        race(started, has_own_dtype=has_own_dtype)
    return findings


def drivers(*, half_s: float = 0.04, whole_s: float = 0.02) -> dict[str, FakeDriver]:
    return {
        "weft": FakeDriver("weft", 0.01),
        "peer-bfloat16": FakeDriver("peer-bfloat16", half_s),
        "peer-float32": FakeDriver("peer-float32", whole_s),
    }


FASTER = {
    "mini_decode_weft_tokens_per_s_b2": 200.0,
    "mini_decode_peer_tokens_per_s_b2": 100.0,
    "mini_decode_vs_peer_b2": 2.0,
}


def test_ratio_is_taken_against_the_faster_variant_which_is_named() -> None:
    findings = run(drivers())
    assert findings.figures == pytest.approx(FASTER)
    assert findings.basis["mini_decode_vs_peer_b2"] == Basis(
        num_rounds=3, num_asked=3, peer="peer-float32"
    )
    assert findings.basis["mini_decode_weft_tokens_per_s_b2"].peer == ""
    rows = {row["contender"]: row["num_rounds"] for row in findings.rows}
    assert rows == {"peer-bfloat16": 0, "weft": 3, "peer-float32": 3}
    assert findings.versions["peer"] in ("1.12", "1.13")
    assert findings.missing == []


def test_the_checkpoint_s_own_dtype_has_figures_beside_the_faster_one() -> None:
    findings = run(drivers(), has_own_dtype=True)
    own = {"mini_decode_peer_bf16_tokens_per_s_b2": 50.0, "mini_decode_vs_peer_bf16_b2": 4.0}
    assert findings.figures == pytest.approx({**FASTER, **own})
    assert findings.basis["mini_decode_vs_peer_bf16_b2"].peer == "peer-bfloat16"


def test_an_own_dtype_that_is_the_fastest_gives_both_figures() -> None:
    figures = run(drivers(half_s=0.005)).figures
    assert figures["mini_decode_vs_peer_b2"] == figures["mini_decode_vs_peer_bf16_b2"] < 1


def test_a_race_cut_short_is_marked() -> None:
    findings = Findings()
    with closing(field(findings, drivers())) as started:
        started.load([WEFT, WHOLE], Path("mini"), seed=0)
        started.choose(DECODE)
        started.race(DECODE, num_rounds=3, seconds=0.1, may_go_on=lambda: False)
    basis = findings.basis["mini_decode_vs_peer_b2"]
    assert (basis.num_rounds, basis.num_asked, basis.is_short) == (1, 3, True)


def test_later_workloads_race_whom_an_earlier_one_chose_and_warm_up_once() -> None:
    started, other = drivers(half_s=0.005), replace(DECODE, batch=3)
    with closing(field(Findings(), started)) as running:
        running.load([WEFT, HALF, WHOLE], Path("mini"), seed=0)
        running.choose(DECODE)
        num_before = {name: driver.num_calls for name, driver in started.items()}
        race(running, other)
    added = {name: driver.num_calls - num_before[name] for name, driver in started.items()}
    assert added == {"weft": 2 + 3 * 2, "peer-bfloat16": 2 + 3 * 2, "peer-float32": 0}


@pytest.mark.parametrize(("batch", "is_tried"), [(3, True), (100, False)])
def test_a_variant_that_lost_is_tried_anew_only_where_that_is_cheap(
    batch: int, is_tried: bool
) -> None:
    started, findings = drivers(half_s=0.08), Findings()
    with closing(field(findings, started)) as running:
        running.load([WEFT, HALF, WHOLE], Path("mini"), seed=0)
        running.choose(DECODE)
        started["peer-bfloat16"].step_s = 0.01  # with more rows it is the better one
        other = replace(DECODE, batch=batch)
        running.choose(other)
        race(running, other)
    peer = findings.basis[f"mini_decode_vs_peer_b{batch}"].peer
    assert peer == ("peer-bfloat16" if is_tried else "peer-float32")


def test_a_variant_that_lost_races_when_the_one_that_won_has_left() -> None:
    started, findings = drivers(half_s=0.08), Findings()
    with closing(field(findings, started)) as running:
        running.load([WEFT, HALF, WHOLE], Path("mini"), seed=0)
        running.choose(DECODE)
        started["peer-float32"].fails_at = 0
        race(running)
        other = replace(DECODE, batch=100)
        running.choose(other)
        race(running, other)
    assert findings.basis["mini_decode_vs_peer_b100"].peer == "peer-bfloat16"


def test_a_contender_is_left_out_only_where_the_batch_is_larger_than_it_takes() -> None:
    started = {"weft": FakeDriver("weft", 0.01), "bound": FakeDriver("bound", 0.005)}
    findings = Findings()
    with closing(field(findings, started)) as running:
        bound = Contender(kind="bound", script="", dtype="auto", max_batch=1)
        running.load([WEFT, bound], Path("mini"), seed=0)
        running.choose(DECODE)
        for batch in (2, 1):
            race(running, replace(DECODE, batch=batch))
    assert "mini_decode_vs_bound_b2" not in findings.figures
    assert findings.figures["mini_decode_vs_bound_b1"] == pytest.approx(0.5)


def test_processes_end_with_the_field() -> None:
    started = drivers()
    run(started)
    assert all(driver.is_closed for driver in started.values())


@pytest.mark.parametrize("fails_at", [1, 2, 10], ids=["load", "trial", "round"])
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

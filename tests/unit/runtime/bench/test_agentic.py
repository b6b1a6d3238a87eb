"""The bench of agents: its arithmetic on scripted drivers, and weft's own driver for real."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from tests.support.bench import TINY, write_lively
from weft.errors import PeerFailed
from weft.runtime.bench import agentic_levels, deadlines
from weft.runtime.bench.agent_script import (
    AgentScript,
    AgentStep,
    Passage,
    as_scripts,
    in_midst,
    in_time,
    mean_context,
    text_of,
)
from weft.runtime.bench.agentic_arms import (
    OBJECTIVE_S,
    OFFLOADING,
    OURS,
    PEER,
    PLAIN,
    SPILLING,
    arms_for,
)
from weft.runtime.bench.agentic_levels import Levels
from weft.runtime.bench.deadlines import NUM_BURSTS, SLACKS, Deadlines
from weft.runtime.bench.driver import Driver
from weft.runtime.bench.findings import Findings
from weft.runtime.bench.options import BenchOptions
from weft.runtime.bench.undisturbed import Measured
from weft.runtime.scheduler.simulator import AgentWorkload, SqlWorkload

RATES = {OURS: 30, SPILLING: 60, "fcfs": 10, "ttl": 15, "pause": 5, "plain": 12, "cap": 20}
RATES[OFFLOADING] = 24
NUM_ARMS = len(arms_for(4))


class ScriptedDriver:
    """Finishes as many steps as its policy is given."""

    def __init__(self, *, fails: bool = False, rates: Sequence[Mapping[str, int]] = ()) -> None:
        """``rates``: of rounds in which arms differ from RATES."""
        self.asked: list[dict[str, Any]] = []
        self.fails = fails
        self.rates = rates

    def call(self, operation: str, *, timeout_s: float = 0.0, **asked: Any) -> Any:
        if operation == "costs":
            return {"tick_s": 1e-3, "prefill_s": 1e-5}
        assert operation == "run"
        if self.fails:
            raise PeerFailed("It broke.", peer=PEER)
        self.asked.append(asked)
        policy = asked.get("policy", PEER)
        name = {"fcfs": OFFLOADING, OURS: SPILLING}[policy] if asked.get("spill_bytes") else policy
        wait_s = OBJECTIVE_S * (0.5 if policy == OURS else 2.0)
        number = len(self.asked[:-1]) // NUM_ARMS
        rates = {**RATES, **(self.rates[number] if self.rates else {})}
        names = list({script["tenant"]: script["name"] for script in asked["scripts"]}.values())
        return {
            "seconds": 60.0,
            "steps": dict.fromkeys(names, rates.get(name, 3)),
            "ended": names[:2],
            "first_token_s": [wait_s] * 10,
            "num_prompt_tokens": 1000,
            "num_cached_tokens": 600,
            "num_generated_tokens": 50,
            "num_ticks": 10,
            "num_new_tokens": 160,
            "work": [[0.1, 10, 100, 50, 10_000, 120], [0.2, 20, 150, 200, 30_000, 180]],
        }


def measured(peer: ScriptedDriver | None, **options: Any) -> tuple[Findings, ScriptedDriver]:
    findings, driver = Findings(), ScriptedDriver()
    levels = Levels(
        cast("Driver", driver),
        cast("Driver | None", peer),
        BenchOptions(num_rounds=2, **options),
        findings,
        token_bytes=2,
        seconds=0.5,
        warm_s=0.5,
    )
    levels.measure((1.0, 2.0))
    return findings, driver


@pytest.fixture(autouse=True)
def quiet_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """What others take of this machine while tests run must not repeat them."""

    def measured_once(measure: Callable[[], Any]) -> Measured[Any]:
        return Measured(measure(), 0.03)

    monkeypatch.setattr(agentic_levels, "undisturbed", measured_once)
    monkeypatch.setattr(deadlines, "undisturbed", measured_once)


def test_figures_compare_with_the_best_other_arm_in_the_same_rounds() -> None:
    findings, _ = measured(ScriptedDriver())
    figures = findings.figures
    assert figures["vs_best_other_x1"] == 30 / 20
    assert figures["weft_tier_vs_best_other_x2"] == 60 / 24
    assert figures["weft_tier_vs_fcfs_tier_x2"] == 60 / 24
    assert figures["steps_per_minute_x2"] == 4 * 30
    assert figures["p99_wait_vs_fcfs_x2"] == 0.25
    assert figures["vs_vllm_langgraph_x2"] == 10
    assert figures["weft_tier_vs_vllm_langgraph_x2"] == 20
    assert figures["weft_tier_p99_wait_vs_fcfs_x1"] == 0.25
    assert figures["jain"] == figures["weft_tier_jain"] == 1.0
    assert figures["ceiling_vs_best_other_x2"] == 10 / 20
    assert "ceiling_vs_best_other_x1" not in figures
    assert figures["simulated_weft_x1"] > 0 and figures["simulated_fcfs_x2"] > 0
    assert "vs_vllm_langgraph_x1" not in figures
    [row] = [
        row
        for row in findings.rows
        if (row.get("arm"), row["level"], row["round"]) == (OURS, 2.0, 0)
    ]
    assert row["goodput"] == row["steps_per_minute"]
    assert (row["num_common_ended"], row["common_steps"]) == (2, 60)
    assert row["hit_rate"] == pytest.approx(0.6)
    assert row["recomputed_per_step"] == (400 - 160) / 120
    assert row["mean_batch"] == 5
    assert row["stolen"] == 0.03


def test_the_best_other_arm_is_that_of_the_best_median_not_of_every_round() -> None:
    findings = Findings()
    driver = ScriptedDriver(rates=[{"ttl": 40}, {"pause": 40}, {}])
    Levels(
        cast("Driver", driver),
        None,
        BenchOptions(num_rounds=3),
        findings,
        token_bytes=2,
        seconds=0.1,
        warm_s=0.1,
    ).measure((0.5,))
    assert findings.figures["vs_best_other_x0.5"] == 30 / 20


def test_twice_the_level_keeps_twice_as_many_open_and_rounds_draw_others() -> None:
    _, driver = measured(None)
    arms = len(driver.asked) // 4
    ours = driver.asked[0], driver.asked[2 * arms]
    assert ours[1]["num_open"] == pytest.approx(2 * ours[0]["num_open"], abs=1)
    first, second = driver.asked[0], driver.asked[arms]
    assert first["scripts"] != second["scripts"]
    assert [one["policy"] for one in driver.asked[arms : 2 * arms]] == [
        one["policy"] for one in driver.asked[:arms]
    ][::-1]


def test_a_peer_that_fails_is_named_and_the_others_go_on() -> None:
    findings, _ = measured(ScriptedDriver(fails=True))
    assert findings.missing == [f"{PEER}: It broke."]
    assert "vs_best_other_x2" in findings.figures


def test_scripts_travel_as_json_and_say_the_same_everywhere() -> None:
    drawn = AgentWorkload(num_programs=3, programs_per_s=1.0, scale=0.05).draw(1)
    scripts = as_scripts([in_time(script, 0.5) for script in drawn])
    assert [AgentScript.from_json(script.to_json()) for script in scripts] == scripts
    assert scripts[0].steps[0].tool_s == drawn[0].steps[0].tool_s / 2
    assert len(text_of(scripts[0].prefix)) == drawn[0].prefix_tokens
    peer = importlib.import_module("weft.runtime.bench.drivers.langgraph_agentic_driver")
    assert peer.LETTERS.isascii()
    assert text_of(Passage("x", 5)) == text_of(Passage("x", 5)) != text_of(Passage("y", 5))


def test_programs_in_their_midst_begin_at_any_step_and_have_read_what_was_before() -> None:
    drawn = AgentWorkload(num_programs=400, programs_per_s=1.0, scale=0.05).draw(1)
    begun = in_midst(drawn, 100, 7)
    assert begun == in_midst(drawn, 100, 7)
    assert sorted(one.program for one in begun) == sorted(one.program for one in drawn)
    whole = {one.program: one for one in drawn}
    assert begun[100:] == [one for one in drawn if one in begun[100:]]
    left: list[float] = []
    for one in begun[:100]:
        before = whole[one.program]
        num_left = len(one.steps)
        assert one.steps[1:] == before.steps[len(before.steps) - num_left :][1:]
        sizes = [
            sum(step.new_tokens + step.output_tokens for step in script.steps)
            for script in (one, before)
        ]
        assert sizes[0] == sizes[1]
        left.append(num_left / len(before.steps))
    assert 0.4 < sum(left) / 100 < 0.65
    assert Counter(one.tenant for one in begun[:100]) == dict.fromkeys(("t0", "t1", "t2", "t3"), 25)
    lengths = [len(whole[one.program].steps) for one in begun]
    assert sum(lengths[:100]) / 100 > 1.2 * sum(lengths) / 400


def test_mean_context_counts_what_an_open_program_holds() -> None:
    step = AgentStep(Passage("a", 10), 5, "", 0.0)
    script = AgentScript("p", "t", Passage("s", 20), (step, step))
    assert mean_context([script]) == (35 + 50) / 2


class HurryingDriver:
    """fcfs meets half at twice what one call at a time would serve; weft meets more."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.spans_s: list[float] = []
        self.bursts: set[str] = set()

    def call(self, operation: str, *, timeout_s: float = 0.0, **asked: Any) -> Any:
        if operation == "costs":
            return {"tick_s": 1e-3, "decode_s": 0.0, "prefill_s": 0.0, "context_s": 0.0}
        num = len(asked["scripts"])
        self.bursts.add(str(asked["scripts"]))
        self.spans_s.append(sorted(asked["spans_s"])[num // 2])
        slack = SLACKS[""] if self.spans_s[-1] > 0.7 * self.spans_s[0] else SLACKS["tight_"]
        rate = num / asked["arrives_s"][-1] * self.spans_s[-1] / slack
        self.rates.append(rate)
        share = min(1.0, 1.0 / rate) * (1.0 if asked["policy"] == "fcfs" else 1.5)
        return {"num_in_time": round(num * min(1.0, share)), "seconds": 1.0}


def test_deadlines_are_compared_where_fcfs_meets_half() -> None:
    findings, driver = Findings(), HurryingDriver()
    Deadlines(
        cast("Driver", driver),
        BenchOptions(),
        findings,
        time_scale=1e-3,
        patience_s=0.1,
        num_rounds=3,
    ).measure()
    for kind in SLACKS:
        assert findings.figures[f"{kind}fcfs_in_deadline"] == pytest.approx(0.5, abs=0.1)
        assert findings.figures[f"{kind}deadline_gain"] == pytest.approx(1.5, abs=0.1)
    assert [row["slack"] for row in findings.rows] == [8.0] * 3 + [4.0] * 3
    assert [row["stolen"] for row in findings.rows] == [0.03] * 6
    assert len(driver.bursts) == 3 * NUM_BURSTS, "every round looks for the rate of its own queries"


def test_weft_s_own_driver_serves_programs_in_every_way(tmp_path: Path) -> None:
    driver = importlib.import_module("weft.runtime.bench.drivers.weft_agentic_driver")
    write_lively(tmp_path, TINY)
    operations = driver.open_driver()
    loaded = operations["load"](model=str(tmp_path), kv_bytes=1 << 18, max_running=8)
    assert loaded["kv_tokens"] > 200
    drawn = AgentWorkload(
        num_programs=400, programs_per_s=1.0, scale=0.004, longest_context=20_000
    ).draw(0)
    scripts = [
        script.to_json() for script in as_scripts([in_time(script, 1e-3) for script in drawn])
    ]
    for arm in arms_for(4):
        if arm.name not in {OURS, SPILLING, OFFLOADING, PLAIN}:
            continue
        found = operations["run"](
            policy=arm.policy,
            options=arm.options,
            scripts=scripts,
            num_open=4,
            warm_s=0.05,
            seconds=0.5,
            spill_bytes=(1 << 16) if arm.spill_tokens else 0,
        )
        assert sum(found["steps"].values()) > 0
        assert found["first_token_s"]
        assert found["num_prompt_tokens"] > 0
    queries = SqlWorkload(num_programs=3, programs_per_s=1.0, slack_s=1.0, scale=0.002).draw(0)
    found = operations["hurry"](
        policy="weft",
        options={"patience_s": 0.1},
        scripts=[script.to_json() for script in as_scripts(queries)],
        arrives_s=[0.0, 0.01, 0.02],
        spans_s=[60.0, 60.0, 1e-3],
        max_running=2,
    )
    assert found["num_in_time"] == 2

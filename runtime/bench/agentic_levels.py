"""Agents at one load after the other: every arm in turns, round by round."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict
from typing import Any

from weft.errors import PeerFailed
from weft.runtime.bench.agent_script import (
    AgentScript,
    as_scripts,
    in_midst,
    in_time,
    mean_context,
)
from weft.runtime.bench.agentic_arms import (
    KV_TOKENS,
    OFFLOADING,
    OURS,
    PEER,
    ROOMY,
    SIMULATED,
    SPILLING,
    TIME_SCALE,
    Arm,
    Outcome,
    arms_for,
)
from weft.runtime.bench.checkpoint import MINI_LIKE
from weft.runtime.bench.driver import Driver
from weft.runtime.bench.findings import Findings
from weft.runtime.bench.options import BenchOptions
from weft.runtime.bench.undisturbed import undisturbed
from weft.runtime.dispatch import Work, fit_costs
from weft.runtime.scheduler import Costs, ReplicaSized, Scheduler, make_policy
from weft.runtime.scheduler.simulator import AgentWorkload, Script, simulate

__all__ = ["DEFAULT_ROUNDS", "MAX_RUNNING", "Levels"]

LEVELS = (0.5, 1.0, 1.5, 2.0, 3.0)
"""KV that the open programs hold on average, over what fits."""
PEER_LEVEL = 2.0
MAX_RUNNING = 256
TOKEN_SCALE = 1 / 14
"""Published contexts of some 30,000 tokens come to some 2,000."""
SECONDS, WARM_S = 8.0, 4.0
"""What is measured, and what comes before, times the load: or how they come in is measured."""
NUM_PROGRAMS = 3000
DEFAULT_ROUNDS = 3
RUN_TIMEOUT_S = 120.0


class Levels:
    """Measures load after load. A peer that fails is named in the findings and left out then."""

    def __init__(
        self,
        driver: Driver,
        peer: Driver | None,
        options: BenchOptions,
        findings: Findings,
        *,
        token_bytes: int,
        seconds: float = SECONDS,
        warm_s: float = WARM_S,
    ) -> None:
        self._driver = driver
        self._peer = peer
        self._options = options
        self._findings = findings
        self._token_bytes = token_bytes
        self._seconds = seconds
        self._warm_s = warm_s
        self._num_rounds = options.num_rounds or DEFAULT_ROUNDS
        self._level_warm_s = warm_s
        """Of the level that is measured."""
        self._simulated: dict[str, list[float]] = {}

    def measure(self, levels: Sequence[float] = LEVELS) -> None:
        """All rounds of every level; rounds have programs of their own."""
        for level in levels:
            self._level_warm_s = self._warm_s * max(1.0, level)
            self._simulated = {name: [] for name in SIMULATED}
            rounds = [self._round(level, number) for number in range(self._num_rounds)]
            _note_level(self._findings, level, rounds, self._num_rounds)
            for name, ratios in self._simulated.items():
                figure = f"simulated_{name}_x{level:g}"
                _note_median(self._findings, figure, ratios, self._num_rounds)

    def _round(self, level: float, number: int) -> Mapping[str, Outcome]:
        seed = self._options.seed * 1000 + number
        drawn = _draw(seed)
        num_open = max(1, round(level * KV_TOKENS / mean_context(as_scripts(drawn))))
        drawn = in_midst(drawn, num_open, seed)
        scripts = {script.name: script for script in as_scripts(drawn)}
        arms = arms_for(round(num_open / level), with_roomy=level >= PEER_LEVEL)
        found: dict[str, Outcome] = {}
        work: list[Work] = []
        for arm in arms if number % 2 == 0 else reversed(arms):
            self._say(level, number, arm.name)
            found[arm.name], spans = self._serve(arm, scripts, num_open)
            if arm.name not in SIMULATED:
                work += spans
        if self._peer is not None and level == PEER_LEVEL:
            self._say(level, number, PEER)
            self._serve_peer(self._peer, scripts, num_open, found)
        known = Costs(**self._driver.call("costs"))
        costs = fit_costs(work, known)
        self._findings.rows.append(
            {"what": "costs", "level": level, "round": number, **asdict(costs)}
        )
        for arm in arms:
            if arm.name in SIMULATED:
                scheduler = Scheduler(make_policy(arm.policy, known, **arm.options))
                rate = self._simulate(scheduler, arm, drawn, num_open, costs)
                self._simulated[arm.name].append(rate / _rate(found, arm.name))
        _note_rows(self._findings, level, number, num_open, found)
        return found

    def _say(self, level: float, number: int, name: str) -> None:
        self._options.say(f"agentic: {level:g} times what fits, round {number + 1}, {name}")

    def _serve(
        self, arm: Arm, scripts: Mapping[str, AgentScript], num_open: int
    ) -> tuple[Outcome, list[Work]]:
        result = self._run(
            self._driver,
            policy=arm.policy,
            options=dict(arm.options),
            spill_bytes=arm.spill_tokens * self._token_bytes,
            pools=arm.pools,
            **self._asked(scripts, num_open),
        )
        return Outcome.of(result, scripts), [Work(*span) for span in result["work"]]

    def _serve_peer(
        self,
        peer: Driver,
        scripts: Mapping[str, AgentScript],
        num_open: int,
        found: dict[str, Outcome],
    ) -> None:
        asked = self._asked(scripts, num_open)
        try:
            result = self._run(peer, **asked)
            found[PEER] = Outcome.of(result, scripts)
        except PeerFailed as error:
            self._findings.missing.append(f"{PEER}: {error}")
            self._peer = None

    def _run(self, driver: Driver, **asked: Any) -> Mapping[str, Any]:
        timeout_s = RUN_TIMEOUT_S + self._seconds

        def run() -> dict[str, Any]:
            found: dict[str, Any] = driver.call("run", timeout_s=timeout_s, **asked)
            return found

        measured = undisturbed(run)
        return {**measured.result, "stolen": measured.stolen}

    def _asked(self, scripts: Mapping[str, AgentScript], num_open: int) -> dict[str, Any]:
        return {
            "scripts": [script.to_json() for script in scripts.values()],
            "num_open": num_open,
            "warm_s": self._level_warm_s,
            "seconds": self._seconds,
        }

    def _simulate(
        self, scheduler: Scheduler, arm: Arm, drawn: Sequence[Script], num_open: int, costs: Costs
    ) -> float:
        """Steps per minute in the simulator, of the same programs in the same span of time."""
        replica = ReplicaSized(0.0, "0", KV_TOKENS, MAX_RUNNING, arm.spill_tokens)
        report = simulate(
            scheduler,
            drawn,
            [replica],
            costs=costs,
            concurrency=num_open,
            since_s=self._level_warm_s,
            until_s=self._level_warm_s + self._seconds,
        )
        return report.steps_per_minute


def _draw(seed: int) -> list[Script]:
    workload = AgentWorkload(
        num_programs=NUM_PROGRAMS, programs_per_s=1.0, scale=TOKEN_SCALE, longest_context=50_000
    )
    fitting = [one for one in workload.draw(seed) if _size(one) < MINI_LIKE.max_context]
    return [in_time(script, TIME_SCALE) for script in fitting]


def _size(script: Script) -> int:
    """Of its last context."""
    read = sum(step.new_tokens + step.output_tokens for step in script.steps)
    return script.prefix_tokens + read


def _note_rows(
    findings: Findings, level: float, number: int, num_open: int, found: Mapping[str, Outcome]
) -> None:
    first, *others = (one.ended for one in found.values())
    common = first.intersection(*others)
    for name, one in found.items():
        measured = {
            key: value for key, value in one._asdict().items() if isinstance(value, int | float)
        }
        findings.rows.append(
            {
                "level": level,
                "round": number,
                "arm": name,
                "num_open": num_open,
                **measured,
                "num_ended": len(one.ended),
                "num_common_ended": len(common),
                "common_steps": sum(one.steps.get(program, 0) for program in common),
            }
        )


def _note_level(
    findings: Findings, level: float, rounds: Sequence[Mapping[str, Outcome]], num_asked: int
) -> None:
    def note(name: str, values: Sequence[float], peer: str = "") -> None:
        _note_median(findings, name, values, num_asked, peer)

    def over(name: str, other: str) -> list[float]:
        return [_rate(found, name) / _rate(found, other) for found in rounds if other in found]

    def p99_over_fcfs(name: str) -> list[float]:
        return [found[name].p99_s / found["fcfs"].p99_s for found in rounds]

    at = f"x{level:g}"
    best = _best_other(rounds, but={OFFLOADING})
    note(f"vs_best_other_{at}", over(OURS, best))
    note(f"weft_tier_vs_best_other_{at}", over(SPILLING, _best_other(rounds)))
    note(f"weft_tier_vs_fcfs_tier_{at}", over(SPILLING, OFFLOADING))
    if ROOMY in rounds[0]:
        note(f"ceiling_vs_best_other_{at}", over(ROOMY, best))
    note(f"steps_per_minute_{at}", [_rate(found, OURS) for found in rounds])
    note(f"p99_wait_vs_fcfs_{at}", p99_over_fcfs(OURS))
    note(f"weft_tier_p99_wait_vs_fcfs_{at}", p99_over_fcfs(SPILLING))
    if level != PEER_LEVEL:
        return
    note("jain", [found[OURS].jain for found in rounds])
    note("weft_tier_jain", [found[SPILLING].jain for found in rounds])
    if any(PEER in found for found in rounds):
        note(f"vs_vllm_langgraph_{at}", over(OURS, PEER), PEER)
        note(f"weft_tier_vs_vllm_langgraph_{at}", over(SPILLING, PEER), PEER)


def _note_median(
    findings: Findings, name: str, values: Sequence[float], num_asked: int, peer: str = ""
) -> None:
    median = statistics.median(values)
    findings.note(name, median, num_rounds=len(values), num_asked=num_asked, peer=peer)


def _rate(found: Mapping[str, Outcome], name: str) -> float:
    return found[name].steps_per_minute


def _best_other(rounds: Sequence[Mapping[str, Outcome]], but: Set[str] = frozenset()) -> str:
    """The other arm of ours with the greatest median. Not the best of every round: where all do
    the same, and only the machine's speed changes, the greatest of many is above any one."""

    def median(name: str) -> float:
        return statistics.median(_rate(found, name) for found in rounds)

    return max(
        set(rounds[0]) - {OURS, SPILLING, ROOMY, PEER} - but, key=lambda name: (median(name), name)
    )

"""Programs with deadlines: how many end in time, by how they are scheduled."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from weft.runtime.bench.agent_script import as_scripts, in_time
from weft.runtime.bench.driver import Driver
from weft.runtime.bench.findings import Findings
from weft.runtime.bench.options import BenchOptions
from weft.runtime.bench.undisturbed import Measured, undisturbed
from weft.runtime.scheduler import Costs
from weft.runtime.scheduler.simulator import Script, SqlWorkload

__all__ = ["measure_deadlines"]

NUM_PROGRAMS, NUM_BURSTS = 60, 3
"""Queries of a burst, and bursts of a round. A longer burst says less: how far fcfs falls behind
grows with its length, so half of it is late within a few percent of the load that is served."""
TOKEN_SCALE = 1 / 14
MAX_RUNNING = 6
SLACK = 4.0
"""Median span of a query over the time that its calls take of an engine alone."""
BASE, OURS = "fcfs", "weft"
POLICIES = (BASE, "deadline", OURS)
NUM_SEARCHES, SEARCH_BURSTS = 5, 2
LOWEST, HIGHEST = 0.5, 8.0
"""Rates between which the search goes, over what one call at a time would serve."""
HALF = 0.5
BURST_TIMEOUT_S = 600.0


def measure_deadlines(
    driver: Driver,
    options: BenchOptions,
    findings: Findings,
    *,
    time_scale: float,
    patience_s: float,
    num_rounds: int,
    num_programs: int = NUM_PROGRAMS,
) -> None:
    """Bursts of text-to-SQL queries in stages, which arrive whoever is still there, and are given
    up at twice their span.

    The rate of arrivals is the one at which fcfs was seen to meet the deadlines of about half;
    then all take turns at it, burst by burst, with other queries in every burst. ``deadline_gain``
    is how many of a round weft brought in in time over how many fcfs did, ``fcfs_in_deadline`` the
    share that it did.
    """

    def burst(policy: str, rate: float, seed: int) -> Measured[int]:
        """How many were served in time."""
        drawn = _draw(costs, rate, seed, time_scale, num_programs)
        asked: dict[str, Any] = {
            "policy": policy,
            "options": {"patience_s": patience_s} if policy == OURS else {},
            "scripts": [script.to_json() for script in as_scripts(drawn)],
            "arrives_s": [script.arrives_s for script in drawn],
            "spans_s": [_span_s(script) for script in drawn],
            "max_running": MAX_RUNNING,
        }
        return undisturbed(
            lambda: int(driver.call("hurry", timeout_s=BURST_TIMEOUT_S, **asked)["num_in_time"])
        )

    def is_met(rate: float, number: int) -> bool:
        """Whether fcfs meets the deadlines of more than half."""
        options.say(f"deadlines: {rate:.2f} times what one call at a time would serve")
        first = options.seed * 1000 + 500 + number * SEARCH_BURSTS
        met = sum(burst(BASE, rate, first + more).result for more in range(SEARCH_BURSTS))
        return met > HALF * SEARCH_BURSTS * num_programs

    costs = Costs(**driver.call("costs"))
    low, high = LOWEST, HIGHEST
    for number in range(NUM_SEARCHES):
        rate = (low * high) ** 0.5
        low, high = (rate, high) if is_met(rate, number) else (low, rate)
    rate = (low * high) ** 0.5
    rounds: list[dict[str, float]] = []
    for number in range(num_rounds):
        options.say(f"deadlines: round {number + 1}")
        met, stolen = dict.fromkeys(POLICIES, 0), 0.0
        for drawn in range(number * NUM_BURSTS, (number + 1) * NUM_BURSTS):
            for policy in POLICIES if drawn % 2 == 0 else POLICIES[::-1]:
                measured = burst(policy, rate, options.seed * 1000 + drawn)
                met[policy] += measured.result
                stolen = max(stolen, measured.stolen)
        found = {policy: num / (NUM_BURSTS * num_programs) for policy, num in met.items()}
        rounds.append(found)
        row = {"what": "in deadline", "rate": rate, "round": number, "stolen": stolen}
        findings.rows.append(row | found)
    least = 1 / (NUM_BURSTS * num_programs)
    for policy in POLICIES[1:]:
        gains = [found[policy] / max(found[BASE], least) for found in rounds]
        name = "deadline_gain" if policy == OURS else f"deadline_gain_of_{policy}"
        _note(findings, name, gains, num_rounds)
    _note(findings, "fcfs_in_deadline", [found[BASE] for found in rounds], num_rounds)


def _draw(
    costs: Costs, rate: float, seed: int, time_scale: float, num_programs: int
) -> list[Script]:
    """Queries whose spans and arrivals are in units of what a query takes of an engine alone."""
    trial = SqlWorkload(num_programs=50, programs_per_s=1.0, slack_s=1.0, scale=TOKEN_SCALE)
    alone_s = statistics.fmean(
        _alone_s(in_time(script, time_scale), costs) for script in trial.draw(0)
    )
    workload = SqlWorkload(
        num_programs=num_programs,
        programs_per_s=rate / alone_s,
        slack_s=SLACK * alone_s,
        scale=TOKEN_SCALE,
    )
    return [in_time(script, time_scale) for script in workload.draw(seed)]


def _alone_s(script: Script, costs: Costs) -> float:
    size, seconds = script.prefix_tokens, 0.0
    for step in script.steps:
        size += step.new_tokens
        seconds += costs.call_s(
            new_tokens=step.new_tokens, context_tokens=size, output_tokens=step.output_tokens
        )
        size += step.output_tokens
        seconds += step.tool_s
    return seconds


def _span_s(script: Script) -> float:
    assert script.deadline_s is not None, "every query has one"
    return script.deadline_s - script.arrives_s


def _note(findings: Findings, name: str, values: Sequence[float], num_asked: int) -> None:
    findings.note(name, statistics.median(values), num_rounds=len(values), num_asked=num_asked)

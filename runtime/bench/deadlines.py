"""Programs with deadlines: how many end in time, by how they are scheduled."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

from weft.runtime.bench.agent_script import as_scripts, in_time
from weft.runtime.bench.driver import Driver
from weft.runtime.bench.findings import Findings
from weft.runtime.bench.options import BenchOptions
from weft.runtime.bench.undisturbed import Measured, undisturbed
from weft.runtime.scheduler import Costs
from weft.runtime.scheduler.simulator import Script, SqlWorkload

__all__ = ["Deadlines"]

NUM_PROGRAMS, NUM_BURSTS = 60, 2
"""Queries of a burst, and bursts of a round. A longer burst says less: how far fcfs falls behind
grows with its length, so half of it is late within a few percent of the load that is served."""
TOKEN_SCALE = 1 / 14
MAX_RUNNING = 6
SLACKS = {"": 8.0, "tight_": 4.0}
"""Median span of a query over the time that its calls take of an engine alone, by what its figures
begin with. In a full batch calls take longer than alone: tight ones leave little time to wait."""
BASE, OURS = "fcfs", "weft"
POLICIES = (BASE, "deadline", OURS)
LOWEST, HIGHEST, NUM_SEARCHES = 0.5, 8.0, 5
"""Rates between which the first round looks, over what one call at a time would serve."""
FROM_LAST, NUM_MORE = 1.4, 3
"""How far from the rate of the last round the others look."""
HALF = 0.5
BURST_TIMEOUT_S = 600.0


class Deadlines:
    """Measures bursts of text-to-SQL queries in stages, which arrive whoever is still there, and
    are given up at twice their span."""

    def __init__(
        self,
        driver: Driver,
        options: BenchOptions,
        findings: Findings,
        *,
        time_scale: float,
        patience_s: float,
        num_rounds: int,
        num_programs: int = NUM_PROGRAMS,
    ) -> None:
        self._driver = driver
        self._options = options
        self._findings = findings
        self._time_scale = time_scale
        self._patience_s = patience_s
        self._num_rounds = num_rounds
        self._num_programs = num_programs

    def measure(self) -> None:
        """Every round has queries of its own. At first it looks for the rate of arrivals at which
        fcfs meets the deadlines of about half of them; then all policies take turns at that rate,
        fcfs once more among them.

        ``deadline_gain`` is how many of a round weft brought in in time over how many fcfs did,
        ``fcfs_in_deadline`` the share that it did; ``tight_…`` the same where spans are half as
        long, at rates of their own.
        """
        costs = Costs(**self._driver.call("costs"))
        for kind, slack in SLACKS.items():
            self._measure(kind, _Load(costs, slack, self._time_scale, self._num_programs))

    def _measure(self, kind: str, load: _Load) -> None:
        rounds: list[dict[str, float]] = []
        between, num_steps = (LOWEST, HIGHEST), NUM_SEARCHES
        for number in range(self._num_rounds):
            bursts = range(number * NUM_BURSTS, (number + 1) * NUM_BURSTS)
            self._options.say(f"deadlines: round {number + 1}, with {load.slack:g} times the work")
            rate = self._rate_of_half(load, bursts, between, num_steps)
            rounds.append(self._round(load, rate, number, bursts))
            between, num_steps = (rate / FROM_LAST, rate * FROM_LAST), NUM_MORE
        least = 1 / (NUM_BURSTS * self._num_programs)
        for policy in POLICIES[1:]:
            gains = [found[policy] / max(found[BASE], least) for found in rounds]
            name = "deadline_gain" if policy == OURS else f"deadline_gain_of_{policy}"
            self._note(kind + name, gains)
        self._note(f"{kind}fcfs_in_deadline", [found[BASE] for found in rounds])

    def _rate_of_half(
        self, load: _Load, bursts: Sequence[int], between: tuple[float, float], num_steps: int
    ) -> float:
        """Over what one call at a time would serve."""
        low, high = between
        rate = math.sqrt(low * high)
        for _ in range(num_steps):
            num_met = sum(self._num_in_time(BASE, load, rate, burst).result for burst in bursts)
            share = num_met / (len(bursts) * self._num_programs)
            self._options.say(f"deadlines: {BASE} meets {share:.2f} at a rate of {rate:.2f}")
            low, high = (rate, high) if share > HALF else (low, rate)
            rate = math.sqrt(low * high)
        return rate

    def _round(
        self, load: _Load, rate: float, number: int, bursts: Sequence[int]
    ) -> dict[str, float]:
        """The share that each policy served in time."""
        met, stolen = dict.fromkeys(POLICIES, 0), 0.0
        for burst in bursts:
            for policy in POLICIES if burst % 2 == 0 else POLICIES[::-1]:
                measured = self._num_in_time(policy, load, rate, burst)
                met[policy] += measured.result
                stolen = max(stolen, measured.stolen)
        found = {policy: num / (len(bursts) * self._num_programs) for policy, num in met.items()}
        where = {"slack": load.slack, "rate": rate, "round": number, "stolen": stolen}
        self._findings.rows.append({"what": "in deadline", **where, **found})
        return found

    def _num_in_time(self, policy: str, load: _Load, rate: float, burst: int) -> Measured[int]:
        seed = self._options.seed * 1000 + burst
        drawn = load.draw(rate, seed)
        asked: dict[str, Any] = {
            "policy": policy,
            "options": {"patience_s": self._patience_s} if policy == OURS else {},
            "scripts": [script.to_json() for script in as_scripts(drawn)],
            "arrives_s": [script.arrives_s for script in drawn],
            "spans_s": [_span_s(script) for script in drawn],
            "max_running": MAX_RUNNING,
        }

        def run() -> int:
            found = self._driver.call("hurry", timeout_s=BURST_TIMEOUT_S, **asked)
            return int(found["num_in_time"])

        return undisturbed(run)

    def _note(self, name: str, values: Sequence[float]) -> None:
        median = statistics.median(values)
        self._findings.note(name, median, num_rounds=len(values), num_asked=self._num_rounds)


class _Load(NamedTuple):
    """Queries whose spans and arrivals are in units of what a query takes of an engine alone."""

    costs: Costs
    slack: float
    time_scale: float
    num_programs: int

    def draw(self, rate: float, seed: int) -> list[Script]:
        trial = SqlWorkload(num_programs=50, programs_per_s=1.0, slack_s=1.0, scale=TOKEN_SCALE)
        alone_s = statistics.fmean(
            _alone_s(in_time(script, self.time_scale), self.costs) for script in trial.draw(0)
        )
        workload = SqlWorkload(
            num_programs=self.num_programs,
            programs_per_s=rate / alone_s,
            slack_s=self.slack * alone_s,
            scale=TOKEN_SCALE,
        )
        return [in_time(script, self.time_scale) for script in workload.draw(seed)]


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

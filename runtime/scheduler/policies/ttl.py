"""KV is pinned through a tool call for as long as that is expected to pay (Continuum)."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from weft.runtime.scheduler.accounts import CallAccount, ProgramAccount
from weft.runtime.scheduler.costs import Costs
from weft.runtime.scheduler.decisions import Dispatch, Fact
from weft.runtime.scheduler.facts import ProgramEnded, ToolStarted
from weft.runtime.scheduler.ledger import Ledger
from weft.runtime.scheduler.line import Place
from weft.runtime.scheduler.policy import SchedulingPolicy, Worth

__all__ = ["TtlPolicy"]

NEWEST_WAIT = 0.1
"""Weight of the newest wait in their running mean."""


class TtlPolicy(SchedulingPolicy):
    """Time-to-live pins as the paper has them: the time that maximises the expected benefit.

    Benefit of a pin of t seconds: the share of the tool's runs that return within t, times what
    is spared (computing the context again, and waiting in the line). Cost: the time that the pin
    is held on average, times the share of the replica that it holds. A pin that runs out while its
    program waits already is kept, and a replica that would run nothing has no pins. Programs that
    hold KV go first, then those that arrived first.
    """

    name = "ttl"
    uses_costs = True

    def __init__(self, costs: Costs | None = None) -> None:
        super().__init__(costs)
        self._pinned_until_s: dict[str, float] = {}
        self._ends: list[tuple[float, str]] = []
        """Of pins, some of which are gone by now."""
        self._mean_wait_s = 0.0

    def told(self, fact: Fact, ledger: Ledger) -> None:
        if isinstance(fact, ToolStarted):
            program = ledger.programs[fact.program]
            span_s = self._span_s(program, fact.tool, ledger)
            self._pinned_until_s[fact.program] = fact.at_s + span_s
            heapq.heappush(self._ends, (fact.at_s + span_s, fact.program))
        elif isinstance(fact, Dispatch):
            self._learn_wait(ledger.calls[fact.call])
            self._pinned_until_s.pop(fact.program, None)
        elif isinstance(fact, ProgramEnded):
            self._pinned_until_s.pop(fact.program, None)

    def place(self, call: CallAccount, ledger: Ledger, now_s: float) -> Place:
        program = call.program
        return Place((-program.priority, program.home is None, program.arrived_s))

    def protects(
        self, program: ProgramAccount, worth: Worth, call: CallAccount, now_s: float
    ) -> bool:
        return bool(program.waiting) or now_s < self._pinned_until_s.get(program.program, now_s)

    def stirred(self, ledger: Ledger, now_s: float) -> Iterable[str]:
        homes: dict[str, None] = {}
        while self._ends and self._ends[0][0] <= now_s:
            until_s, name = heapq.heappop(self._ends)
            if until_s == self._pinned_until_s.get(name):
                home = ledger.programs[name].home
                homes |= {} if home is None else {home.replica: None}
        return homes

    def wake_s(self, ledger: Ledger, now_s: float) -> float:
        while self._ends and self._ends[0][0] != self._pinned_until_s.get(self._ends[0][1]):
            heapq.heappop(self._ends)
        return self._ends[0][0] if self._ends else float("inf")

    def _learn_wait(self, call: CallAccount) -> None:
        wait_s = call.dispatched_s - call.asked_s
        self._mean_wait_s += NEWEST_WAIT * (wait_s - self._mean_wait_s)

    def _span_s(self, program: ProgramAccount, tool: str, ledger: Ledger) -> float:
        """The span with the greatest expected benefit; 0 where none pays."""
        if program.home is None:
            return 0.0
        spared_s = self._mean_wait_s + self.costs.restore_s(
            program.context_tokens, shared_tokens=program.prefix_tokens
        )
        held = program.private_tokens / program.home.capacity_tokens
        best_s, best_benefit = 0.0, 0.0
        mean_held_s, last_s, last_share = 0.0, 0.0, 0.0
        for latency_s, share in ledger.tool_times.of(tool).shares():
            mean_held_s += (latency_s - last_s) * (1 - last_share)
            last_s, last_share = latency_s, share
            benefit = share * spared_s - held * mean_held_s
            if benefit > best_benefit:
                best_s, best_benefit = latency_s, benefit
        return best_s

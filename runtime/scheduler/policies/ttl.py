"""KV is pinned through a tool call for as long as that is expected to pay (Continuum)."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from weft.runtime.scheduler.accounts import CallAccount, ProgramAccount
from weft.runtime.scheduler.costs import Costs
from weft.runtime.scheduler.decisions import Dispatch, Fact
from weft.runtime.scheduler.facts import CallAsked, ProgramEnded, ToolStarted
from weft.runtime.scheduler.ledger import Ledger
from weft.runtime.scheduler.line import Place
from weft.runtime.scheduler.policy import SchedulingPolicy, Worth
from weft.runtime.scheduler.tool_times import ToolTimes

__all__ = ["TtlPolicy"]

NEWEST_WAIT = 0.1
"""Weight of the newest wait in their running mean."""


class TtlPolicy(SchedulingPolicy):
    """Time-to-live pins as the paper has them: the time that maximises the expected benefit.

    A pin goes from an answer to the program's next call. Benefit of one of t seconds: the share of
    programs that come back from such a tool within t, times what is spared (computing the context
    again, and waiting in the line). Cost: the time that the pin is held on average, times the
    share of the replica that it holds. Which tool it is may be told a little later; until then it
    is taken to be the one that the program used last. A pin that runs out while its program waits
    already is kept, and a replica that would run nothing has no pins. Programs that hold KV go
    first, then those that arrived first.
    """

    name = "ttl"
    uses_costs = True

    def __init__(self, costs: Costs | None = None) -> None:
        super().__init__(costs)
        self._times = ToolTimes()
        """From an answer to the next call of the program, by the tool that it used in between."""
        self._tools: dict[str, str] = {}
        """The tool that each program used last."""
        self._pinned_until_s: dict[str, float] = {}
        self._ends: list[tuple[float, str]] = []
        """Of pins, some of which are gone by now."""
        self._mean_wait_s = 0.0

    def told(self, fact: Fact, ledger: Ledger) -> None:
        match fact:
            case CallAsked():
                self._learn_time(ledger.programs[fact.program], fact.at_s)
            case Dispatch():
                self._learn_wait(ledger.calls[fact.call])
                self._pinned_until_s.pop(fact.program, None)
            case ToolStarted():
                self._tools[fact.program] = fact.tool
                self._pin(ledger.programs[fact.program])
            case ProgramEnded():
                self._tools.pop(fact.program, None)
                self._pinned_until_s.pop(fact.program, None)
            case _:
                pass

    def place(self, call: CallAccount, ledger: Ledger, now_s: float) -> Place:
        program = call.program
        return Place((-program.priority, program.home is None, program.arrived_s))

    def protects(
        self, program: ProgramAccount, worth: Worth, call: CallAccount, now_s: float
    ) -> bool:
        if program.waiting:
            return True
        until_s = self._pinned_until_s.get(program.program)
        return now_s < (self._until_s(program) if until_s is None else until_s)

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

    def _pin(self, program: ProgramAccount) -> None:
        until_s = self._pinned_until_s[program.program] = self._until_s(program)
        heapq.heappush(self._ends, (until_s, program.program))

    def _until_s(self, program: ProgramAccount) -> float:
        return program.idle_since_s + self._span_s(program)

    def _learn_time(self, program: ProgramAccount, asked_s: float) -> None:
        if program.num_answered and not program.running and len(program.waiting) == 1:
            tool = self._tools.get(program.program, "")
            self._times.add(tool, asked_s - program.idle_since_s)

    def _learn_wait(self, call: CallAccount) -> None:
        wait_s = call.dispatched_s - call.asked_s
        self._mean_wait_s += NEWEST_WAIT * (wait_s - self._mean_wait_s)

    def _span_s(self, program: ProgramAccount) -> float:
        """The span with the greatest expected benefit; 0 where none pays."""
        if program.home is None:
            return 0.0
        spared_s = self._mean_wait_s + self.costs.restore_s(
            program.context_tokens, shared_tokens=program.prefix_tokens
        )
        tool = self._tools.get(program.program, "")
        held = program.private_tokens / program.home.capacity_tokens
        best_s, best_benefit = 0.0, 0.0
        mean_held_s, last_s, last_share = 0.0, 0.0, 0.0
        for latency_s, share in self._times.of(tool).shares():
            mean_held_s += (latency_s - last_s) * (1 - last_share)
            last_s, last_share = latency_s, share
            benefit = share * spared_s - held * mean_held_s
            if benefit > best_benefit:
                best_s, best_benefit = latency_s, benefit
        return best_s

"""The most urgent first, by the share of the deadline that a call may use (Hexgen-Flow)."""

from __future__ import annotations

from weft.runtime.scheduler.accounts import CallAccount
from weft.runtime.scheduler.costs import Costs
from weft.runtime.scheduler.ledger import Ledger
from weft.runtime.scheduler.line import Place
from weft.runtime.scheduler.policy import SchedulingPolicy

__all__ = ["DeadlinePolicy"]


class DeadlinePolicy(SchedulingPolicy):
    """Time left to the deadline is divided over the steps of the critical path left by how long
    they take; a call is the more urgent the more of its share it has waited away.

    Urgency grows by one second per second for every call, so their order stands until a fact
    changes it, and everything ages. A program without a deadline is given ``relaxed_s`` for what
    it asks. Unlike the paper's, a program that cannot meet its deadline any more goes behind the
    others: the most urgent would else be those for whom it is too late.
    """

    name = "deadline"
    uses_costs = True

    def __init__(self, costs: Costs | None = None, *, relaxed_s: float = 600.0) -> None:
        super().__init__(costs)
        self._relaxed_s = relaxed_s

    def place(self, call: CallAccount, ledger: Ledger, now_s: float) -> Place:
        program = call.program
        call_s = self.costs.call_s(
            new_tokens=call.new_tokens,
            context_tokens=call.context_tokens,
            output_tokens=call.expected_output_tokens,
        )
        if program.deadline_s is None:
            return Place((-program.priority, False, call.asked_s + self._relaxed_s - call_s))
        path_s = max(program.seconds_left or 0.0, call_s)
        latest_s = program.deadline_s - path_s
        if now_s >= latest_s:
            return Place((-program.priority, True, call.asked_s))
        share_s = (program.deadline_s - call.asked_s) * call_s / path_s
        return Place((-program.priority, False, call.asked_s + share_s - call_s), latest_s)

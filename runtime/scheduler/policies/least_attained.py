"""Least attained service first, in queues (Autellix, PLAS and ATLAS)."""

from __future__ import annotations

from bisect import bisect_right
from typing import Literal

from weft.runtime.scheduler.accounts import CallAccount
from weft.runtime.scheduler.costs import Costs
from weft.runtime.scheduler.ledger import Ledger
from weft.runtime.scheduler.line import Place
from weft.runtime.scheduler.policy import SchedulingPolicy

__all__ = ["LeastAttainedPolicy"]

BOUNDARIES_S = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
PATIENCE_RATIO = 8.0
"""A call that has waited this many times its program's service goes to the first queue."""


class LeastAttainedPolicy(SchedulingPolicy):
    """Programs that had little service go first; within one queue, who asked first.

    ``of="program"`` counts the service of all calls that were answered (PLAS), ``of="path"`` that
    on the longest path which led to the call, so that programs with parallel calls are not held
    back for them (ATLAS). Calls run to their end once they are dispatched.
    """

    name = "least-attained"

    def __init__(
        self, costs: Costs | None = None, *, of: Literal["program", "path"] = "path"
    ) -> None:
        super().__init__(costs)
        self._of = of

    def place(self, call: CallAccount, ledger: Ledger, now_s: float) -> Place:
        program = call.program
        service_s = call.path_s if self._of == "path" else program.attained_s
        level = bisect_right(BOUNDARIES_S, service_s)
        promoted_s = call.asked_s + PATIENCE_RATIO * service_s
        if level == 0 or now_s >= promoted_s:
            return Place((-program.priority, 0, call.asked_s))
        return Place((-program.priority, level, call.asked_s), promoted_s)

"""A plain cap: so many programs at once, each from its first call to its end."""

from __future__ import annotations

from collections.abc import Iterable

from weft.errors import InvalidRequest
from weft.runtime.scheduler.accounts import CallAccount
from weft.runtime.scheduler.costs import Costs
from weft.runtime.scheduler.decisions import Dispatch, Fact
from weft.runtime.scheduler.facts import ProgramEnded
from weft.runtime.scheduler.ledger import Ledger
from weft.runtime.scheduler.line import Place
from weft.runtime.scheduler.policy import SchedulingPolicy

__all__ = ["CapPolicy"]


class CapPolicy(SchedulingPolicy):
    """The control that program-aware policies must beat; the engine may idle while tools run."""

    name = "cap"
    keeps_busy = False

    def __init__(self, costs: Costs | None = None, *, max_programs: int = 32) -> None:
        super().__init__(costs)
        if max_programs < 1:
            raise InvalidRequest(
                f"A cap of {max_programs!r} programs.", remedy="Let one at least run."
            )
        self._max_programs = max_programs
        self._begun: set[str] = set()
        self._has_room = False
        """Whether one more may begin since replicas were stirred last."""

    def told(self, fact: Fact, ledger: Ledger) -> None:
        if isinstance(fact, Dispatch):
            self._begun.add(fact.program)
        elif isinstance(fact, ProgramEnded):
            self._begun.discard(fact.program)
            self._has_room = True

    def place(self, call: CallAccount, ledger: Ledger, now_s: float) -> Place:
        has_begun = call.program.program in self._begun
        return Place((not has_begun, -call.program.priority, call.asked_s))

    def stirred(self, ledger: Ledger, now_s: float) -> Iterable[str]:
        has_room, self._has_room = self._has_room, False
        return ledger.replicas if has_room else ()

    def admits(self, call: CallAccount, ledger: Ledger, now_s: float) -> bool:
        return call.program.program in self._begun or len(self._begun) < self._max_programs

"""The scheduler: facts in, decisions out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from weft.errors import InvalidRequest
from weft.runtime.scheduler.accounts import CallAccount, ProgramAccount, ReplicaAccount
from weft.runtime.scheduler.decisions import (
    Decided,
    Decision,
    Dispatch,
    Entry,
    Evict,
    Fact,
    Pause,
    Prefetch,
    Refuse,
)
from weft.runtime.scheduler.facts import OutsideFact, ReplicaLeft, ReplicaSized
from weft.runtime.scheduler.ledger import Ledger
from weft.runtime.scheduler.line import Line
from weft.runtime.scheduler.placement import find_fit, fits_when_empty, homes_of
from weft.runtime.scheduler.policy import SchedulingPolicy

__all__ = ["DEFAULT_WINDOW", "Scheduler"]

DEFAULT_WINDOW: Final = 64


class Scheduler:
    """Decides, from facts and the time alone, what runs where and who keeps KV.

    The driver tells what happened, asks for decisions, and carries them out in their order; they
    count as done from then on. ``record`` is given every fact and what every ``decide`` gave, which
    ``log.py`` writes and replays. ``window`` is
    how many waiting calls are looked at beyond those that are dispatched; a replica that runs
    nothing is offered all.

    For use by one thread. Never reads a clock and draws no random numbers.
    """

    def __init__(
        self,
        policy: SchedulingPolicy,
        *,
        window: int = DEFAULT_WINDOW,
        record: Callable[[Entry], None] | None = None,
    ) -> None:
        if window < 1:
            raise InvalidRequest(f"A window of {window!r} calls.", remedy="Look at one at least.")
        self.policy = policy
        self.ledger = Ledger()
        self._line = Line()
        self._window = window
        self._record = record
        self._now_s = float("-inf")
        self._reserved: dict[str, str] = {}
        """The replica whose room is kept for a call that has lost patience."""
        self._decisions: list[Decision] = []

    @property
    def num_waiting(self) -> int:
        return len(self._line)

    @property
    def wake_s(self) -> float:
        """When to ask again if no fact comes before: infinity for never."""
        policy_s = self.policy.wake_s(self.ledger, self._now_s)
        patience_s = min(
            (
                self.ledger.calls[name].asked_s + self.policy.patience_s
                for name in self._reserved
                if name in self.ledger.calls
            ),
            default=float("inf"),
        )
        later = patience_s if patience_s > self._now_s else float("inf")
        return min(policy_s, later, self._line.next_due_s())

    def tell(self, fact: OutsideFact) -> None:
        """Take a fact. Raises InvalidRequest, and changes nothing, where it cannot be."""
        if fact.at_s < self._now_s:
            raise InvalidRequest(
                f"{fact!r} is older than what was told before it.",
                remedy="Tell facts in order of one monotonic clock.",
            )
        before_s, self._now_s = self._now_s, fact.at_s
        try:
            self._take(fact)
        except InvalidRequest:
            self._now_s = before_s
            raise
        if self._record is not None:
            self._record(fact)

    def decide(self, now_s: float) -> Sequence[Decision]:
        """What to do now, in this order."""
        if now_s < self._now_s:
            raise InvalidRequest(
                f"It was {self._now_s!r} s already, and is {now_s!r} s now.",
                remedy="Use one monotonic clock.",
            )
        self._now_s = now_s
        self._decisions = []
        self._place_again()
        self._shrink()
        for program in self.policy.sweep(self.ledger, now_s):
            self._apply(Pause(now_s, program.program))
        self._serve()
        self._prefetch()
        decisions = tuple(self._decisions)
        if self._record is not None:
            self._record(Decided(now_s, decisions))
        return decisions

    def eviction_order(self, replica: str) -> Sequence[str]:
        """Idle programs on a replica, whose KV goes first first: for an engine short of blocks."""
        idle = self.ledger.replicas[replica].idle.values()
        return [one.program for one in sorted(idle, key=self._worth)]

    def _worth(self, program: ProgramAccount) -> float:
        return self.policy.keep_value(program, None, self.ledger, self._now_s)

    def _take(self, fact: Fact) -> None:
        touched = self._programs_of(fact)
        calls = [name for one in touched for name in one.waiting]
        self.ledger.tell(fact)
        self.policy.told(fact, self.ledger)
        for name in calls:
            call = self.ledger.calls.get(name)
            if call is None or call.replica is not None:
                self._leave(name)
        for program in touched or self._programs_of(fact):
            if program.program in self.ledger.programs:
                self._place_program(program)

    def _programs_of(self, fact: Fact) -> list[ProgramAccount]:
        if isinstance(fact, ReplicaSized):
            return []
        if isinstance(fact, ReplicaLeft):
            replica = self.ledger.replicas.get(fact.replica)
            return [] if replica is None else list(replica.residents.values())
        name = getattr(fact, "program", None)
        if name is None:
            call = self.ledger.calls.get(getattr(fact, "call", ""))
            return [] if call is None else [call.program]
        program = self.ledger.programs.get(name)
        return [] if program is None else [program]

    def _place_program(self, program: ProgramAccount) -> None:
        for call in program.waiting.values():
            self._line.put(call, self.policy.place(call, self.ledger, self._now_s))

    def _place_again(self) -> None:
        for name in self._line.due(self._now_s):
            call = self.ledger.calls[name]
            self._line.put(call, self.policy.place(call, self.ledger, self._now_s))
        for name in self.policy.moved():
            if name in self.ledger.programs:
                self._place_program(self.ledger.programs[name])

    def _leave(self, name: str) -> None:
        self._line.take(name)
        self._reserved.pop(name, None)

    def _apply(self, decision: Decision) -> None:
        self._decisions.append(decision)
        self._take(decision)

    def _give_up(self, program: ProgramAccount, *, is_held: bool = True) -> None:
        assert program.home is not None
        if is_held and self.policy.pauses:
            self._apply(Pause(self._now_s, program.program))
        else:
            self._apply(Evict(self._now_s, program.program, program.home.replica))

    def _shrink(self) -> None:
        """Outputs grew beyond what was expected, or a replica became smaller."""
        for replica in self.ledger.replicas.values():
            while replica.free_tokens < 0 and replica.idle:
                self._give_up(min(replica.idle.values(), key=self._worth))

    def _serve(self) -> None:
        """Go through the line and dispatch what fits."""
        closed: set[str] = set()
        denied: set[str] = set()
        num_passed = 0
        for name in self._line:
            if not self._is_open(closed, num_passed):
                break
            call = self.ledger.calls[name]
            if not self._serve_one(call, closed, denied):
                num_passed += 1

    def _is_open(self, closed: set[str], num_passed: int) -> bool:
        """Whether some replica could still take a call."""
        within = num_passed < self._window
        return any(
            replica.has_lane and (within or (self.policy.keeps_busy and not replica.num_running))
            for replica in self.ledger.replicas.values()
            if replica.replica not in closed
        )

    def _serve_one(self, call: CallAccount, closed: set[str], denied: set[str]) -> bool:
        """Dispatch a call if it may go and fits; keep room for it if it has lost patience.

        On every replica the first that does not fit is the last for whom others give up KV.
        """
        if self._refuse(call) or not self.policy.admits(call, self.ledger, self._now_s):
            return False
        homes = homes_of(call, self.ledger, self.policy, self._now_s)
        open_homes = [
            replica
            for replica in homes
            if replica.replica not in closed and not self.policy.defers(call, replica, self._now_s)
        ]
        givers = [replica for replica in open_homes if replica.replica not in denied]
        fit = find_fit(call, open_homes, givers, self.ledger, self.policy, self._now_s)
        if fit is None:
            denied.update(replica.replica for replica in givers if replica.has_lane)
            self._reserve(call, open_homes, closed)
            return False
        for victim in fit.victims:
            self._give_up(victim, is_held=victim is not call.program)
        if call.program.home not in (None, fit.replica):
            self._give_up(call.program, is_held=False)
        self._apply(Dispatch(self._now_s, call.program.program, call.call, fit.replica.replica))
        return True

    def _refuse(self, call: CallAccount) -> bool:
        replicas = self.ledger.replicas.values()
        if any(fits_when_empty(call, replica) for replica in replicas):
            return False
        self._apply(Refuse(self._now_s, call.program.program, call.call))
        return True

    def _reserve(
        self, call: CallAccount, homes: Sequence[ReplicaAccount], closed: set[str]
    ) -> None:
        """A replica stays reserved for the same call until it goes, so its turn comes."""
        names = [replica.replica for replica in homes]
        if not names:
            return
        if self._reserved.get(call.call) not in names:
            self._reserved[call.call] = names[0]
        if self._now_s - call.asked_s >= self.policy.patience_s:
            closed.add(self._reserved[call.call])

    def _prefetch(self) -> None:
        """Restore KV into room that nobody waits for."""
        if len(self._line):
            return
        for program in self.policy.prefetches(self.ledger, self._now_s):
            homes = [
                replica
                for replica in self.ledger.replicas.values()
                if program.context_tokens <= replica.free_tokens
            ]
            if homes:
                best = max(homes, key=lambda replica: replica.free_tokens)
                self._apply(Prefetch(self._now_s, program.program, best.replica))

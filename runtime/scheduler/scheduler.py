"""The scheduler: facts in, decisions out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from weft.errors import InvalidRequest
from weft.runtime.scheduler.accounts import CallAccount, ProgramAccount, ReplicaAccount
from weft.runtime.scheduler.decisions import (
    Decided,
    Decision,
    Demote,
    Dispatch,
    Entry,
    Evict,
    Fact,
    Pause,
    Prefetch,
    Refuse,
)
from weft.runtime.scheduler.eviction import EvictionOrder
from weft.runtime.scheduler.facts import (
    CallAnswered,
    CallCancelled,
    CallGrew,
    KvLost,
    OutsideFact,
    ProgramEnded,
    ReplicaSized,
    SuccessorsKnown,
    ToolStarted,
)
from weft.runtime.scheduler.ledger import Ledger
from weft.runtime.scheduler.offers import Offer, Offers
from weft.runtime.scheduler.placement import Chooser, Fit, fits_when_empty, homes_of
from weft.runtime.scheduler.policy import SchedulingPolicy

__all__ = ["DEFAULT_WINDOW", "Scheduler"]

DEFAULT_WINDOW: Final = 64
FREEING: Final = (
    CallAnswered,
    CallCancelled,
    Demote,
    Evict,
    KvLost,
    Pause,
    ProgramEnded,
    SuccessorsKnown,
    ToolStarted,
)
"""Facts after which more may fit where their program is."""


class Scheduler:
    """Decides, from facts and the time alone, what runs where and who keeps KV.

    The driver tells what happened, asks for decisions, and carries them out in their order; they
    count as done from then on. ``record`` is given every fact and what every ``decide`` gave, which
    ``log.py`` writes and replays. Where something changed, ``window`` waiting calls are looked at
    beyond those that are dispatched; a replica that runs nothing is offered all.

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
        self._order = EvictionOrder(policy)
        self._offers = Offers(self.ledger, policy)
        self._chooser = Chooser(self.ledger, policy, self._order)
        self._window = window
        self._record = record
        self._now_s = float("-inf")
        self._serving: Mapping[str, ReplicaAccount] = {}
        """Replicas whose calls are being gone through."""
        self._decisions: list[Decision] = []

    @property
    def num_waiting(self) -> int:
        return len(self._offers)

    @property
    def wake_s(self) -> float:
        """When to ask again if no fact comes before: infinity for never."""
        waiting_s = float("inf")
        if len(self._offers):
            waiting_s = self.policy.wake_s(self.ledger, self._now_s)
        return min(waiting_s, self._offers.next_due_s, self.policy.prefetch_s(self._now_s))

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
        self._look_again()
        self._shrink()
        for program in self.policy.sweep(self.ledger, now_s):
            self._apply(Pause(now_s, program.program))
        self._place_moved()
        while self._offers.is_due:
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

    def _worth(self, program: ProgramAccount) -> tuple[float, float]:
        worth = self.policy.keep_value(program, self.ledger, self._now_s)
        return worth.rank, program.idle_since_s

    def _spill_worth(self, program: ProgramAccount) -> float:
        return self.policy.spill_value(program, self.ledger, self._now_s).rank

    def _take(self, fact: Fact) -> None:
        touched = self.ledger.programs_of(fact)
        calls = [name for one in touched for name in one.waiting]
        homes = self._stirred_by(fact, touched)
        self.ledger.tell(fact)
        self.policy.told(fact, self.ledger)
        for home in homes:
            self._offers.stir(home)
        if isinstance(fact, CallGrew):
            return
        for name in calls:
            call = self.ledger.calls.get(name)
            if call is None or call.replica is not None:
                self._offers.leave(name)
        for program in touched or self.ledger.programs_of(fact):
            self._order.update(program, self.ledger, fact.at_s)
            self._place_program(program)

    def _stirred_by(self, fact: Fact, touched: Iterable[ProgramAccount]) -> list[str]:
        """Replicas where more fits after the fact than before, so far as is known."""
        if isinstance(fact, ReplicaSized):
            return [fact.replica]
        if isinstance(fact, CallGrew):
            call = self.ledger.calls.get(fact.call)
            if call is None or call.replica is None:
                return []
            is_tight = fact.output_tokens > call.expected_output_tokens
            return [call.replica.replica] if is_tight or not call.is_prefilled else []
        if not isinstance(fact, FREEING):
            return []
        return [
            one.home.replica
            for one in touched
            if one.home is not None and one.home.replica not in self._serving
        ]

    def _place_program(self, program: ProgramAccount) -> None:
        if program.program in self.ledger.programs:
            for call in program.waiting.values():
                self._offers.place(call, self._now_s)

    def _look_again(self) -> None:
        """Take notice of what time alone has changed."""
        self._offers.place_due(self._now_s)
        for replica in self.policy.stirred(self.ledger, self._now_s):
            self._offers.stir(replica)
        self._place_moved()

    def _place_moved(self) -> None:
        for name in self.policy.moved():
            if name in self.ledger.programs:
                self._place_program(self.ledger.programs[name])

    def _apply(self, decision: Decision) -> None:
        self._decisions.append(decision)
        self._take(decision)

    def _give_up(self, program: ProgramAccount) -> None:
        """An idle program's KV goes for somebody else's."""
        home = program.home
        assert home is not None
        if self.policy.demotes and self._make_spill_room(program, home):
            self._apply(Demote(self._now_s, program.program, home.replica))
        elif self.policy.pauses:
            self._apply(Pause(self._now_s, program.program))
        else:
            self._evict(program, home)

    def _evict(self, program: ProgramAccount, replica: ReplicaAccount) -> None:
        self._apply(Evict(self._now_s, program.program, replica.replica))

    def _make_spill_room(self, program: ProgramAccount, replica: ReplicaAccount) -> bool:
        """Whether what the program alone holds may be kept outside: what was demoted before and
        is worth less goes for it."""
        lacking = program.private_tokens - replica.spill_room_tokens
        value = self._spill_worth(program)
        if value <= 0 or program.private_tokens > replica.spill_capacity_tokens:
            return False
        victims: list[ProgramAccount] = []
        for one, worth in self._order.spilled(replica, self.ledger, self._now_s):
            if lacking <= 0 or worth.rank >= value:
                break
            victims.append(one)
            lacking -= one.spilled_tokens
        if lacking > 0:
            return False
        for one in victims:
            self._evict(one, replica)
        return True

    def _shrink(self) -> None:
        """Outputs grew beyond what was expected, or a replica became smaller."""
        for name in list(self._offers.stirred):
            replica = self.ledger.replicas.get(name)
            while replica is not None and replica.free_tokens < 0 and replica.idle:
                self._give_up(min(replica.idle.values(), key=self._worth))
            while replica is not None and replica.spill_room_tokens < 0:
                self._evict(min(replica.spilled.values(), key=self._spill_worth), replica)

    def _serve(self) -> None:
        """Go through the line and dispatch what fits."""
        self._serving = self._offers.take_stirred()
        for offer in self._offers.walk(self._serving, self._window):
            self._serve_one(self.ledger.calls[offer.rank.name], offer)
        self._serving = {}

    def _serve_one(self, call: CallAccount, offer: Offer) -> None:
        """Dispatch a call if it may go and fits; keep room for it if it has lost patience.

        On every replica the first that does not fit is the last for whom others give up KV.
        """
        if self._refuse(call) or not self.policy.admits(call, self.ledger, self._now_s):
            return
        among = self.ledger.replicas if offer.is_fresh else self._serving
        homes = [
            replica
            for replica in homes_of(call, among, self.policy, self._now_s)
            if not self._offers.is_closed(call, replica, offer.rank)
            and not self.policy.defers(call, replica, self._now_s)
        ]
        givers = [one for one in homes if not self._offers.is_denied(one, offer.rank)]
        fit = self._chooser.find_fit(call, homes, givers, self._now_s)
        if fit is None:
            self._offers.deny(offer, givers)
            self._offers.reserve(call, offer, homes, self._now_s)
            return
        self._dispatch(call, fit)

    def _dispatch(self, call: CallAccount, fit: Fit) -> None:
        program = call.program
        for victim in fit.victims:
            if victim is program:
                self._evict(program, fit.replica)
            else:
                self._give_up(victim)
        if program.home not in (None, fit.replica):
            self._evict(program, program.home)
        self._apply(Dispatch(self._now_s, program.program, call.call, fit.replica.replica))

    def _refuse(self, call: CallAccount) -> bool:
        replicas = self.ledger.replicas.values()
        if any(fits_when_empty(call, replica) for replica in replicas):
            return False
        self._apply(Refuse(self._now_s, call.program.program, call.call))
        return True

    def _prefetch(self) -> None:
        """Read KV back ahead of need, into room that nobody waits for."""
        for program in self.policy.prefetches(self.ledger, self._now_s):
            home = program.spilled_to
            assert home is not None, "only what was demoted is read back"
            has_room = program.context_tokens <= home.free_tokens
            if has_room and not self._offers.blocks(home.replica):
                self._apply(Prefetch(self._now_s, program.program, home.replica))

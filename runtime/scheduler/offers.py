"""Which waiting calls are offered to which replicas, and what is remembered of those refused."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from weft.runtime.scheduler.accounts import CallAccount, ReplicaAccount
from weft.runtime.scheduler.ledger import Ledger
from weft.runtime.scheduler.line import Line
from weft.runtime.scheduler.placement import roams_s
from weft.runtime.scheduler.policy import SchedulingPolicy
from weft.runtime.scheduler.ranking import Rank

__all__ = ["Offer", "Offers"]


class Offer(NamedTuple):
    rank: Rank
    is_fresh: bool


class Offers:
    """Looks again only where something changed.

    A call that did not fit would not fit now, unless a fact was about its program (it is *fresh*,
    and offered to every replica) or about what a replica holds (that replica is *stirred*, and
    offered the calls that may go there). Between two looks it is remembered which call did not fit
    on a replica first: it is *denied*, and nobody behind it is given others' KV there; and for
    which call a replica is kept *closed* to all behind it.
    """

    def __init__(self, ledger: Ledger, policy: SchedulingPolicy) -> None:
        self._ledger = ledger
        self._policy = policy
        self._line = Line()
        self._fresh: dict[str, None] = {}
        self._stirred: dict[str, None] = {}
        self._denied: dict[str, Rank] = {}
        self._closed: dict[str, Rank] = {}
        self._reserved: dict[str, str] = {}
        """The replica whose room will be kept for a call, once it has lost patience."""

    def __len__(self) -> int:
        return len(self._line)

    @property
    def next_due_s(self) -> float:
        """When time alone makes a call fresh."""
        return self._line.next_due_s()

    @property
    def stirred(self) -> Iterable[str]:
        return self._stirred

    @property
    def is_due(self) -> bool:
        """Whether anything is to be looked at."""
        return bool(self._fresh or self._stirred)

    def stir(self, replica: str) -> None:
        self._stirred[replica] = None

    def place(self, call: CallAccount, now_s: float) -> None:
        """The call waits; its place is computed anew."""
        place = self._policy.place(call, self._ledger, now_s)
        patience_s = call.asked_s + self._policy.patience_s
        roam_s = roams_s(call, self._policy)
        until_s = min(
            place.until_s,
            patience_s if patience_s > now_s else float("inf"),
            roam_s if roam_s > now_s else float("inf"),
        )
        anchor = call.program.anchor
        section = Line.ANYWHERE if anchor is None or roam_s <= now_s else anchor.replica
        self._unblock(call.call, self._line.put(call, place._replace(until_s=until_s), section))
        self._fresh[call.call] = None

    def place_due(self, now_s: float) -> None:
        for name in self._line.due(now_s):
            self.place(self._ledger.calls[name], now_s)

    def leave(self, name: str) -> None:
        """The call waits no more."""
        self._line.take(name)
        self._fresh.pop(name, None)
        self._reserved.pop(name, None)
        self._unblock(name, None)

    def blocks(self, replica: str) -> bool:
        """Whether somebody waits for room there."""
        return replica in self._denied or replica in self._closed

    def take_stirred(self) -> Mapping[str, ReplicaAccount]:
        """The replicas to look at, which are not stirred and keep nobody out from here on."""
        taken, self._stirred = self._stirred, {}
        for name in taken:
            self._denied.pop(name, None)
            self._closed.pop(name, None)
        replicas = self._ledger.replicas
        return {name: replicas[name] for name in taken if name in replicas}

    def walk(self, replicas: Mapping[str, ReplicaAccount], window: int) -> Iterator[Offer]:
        """Calls to offer, first first: fresh ones, and as long as one of the replicas has a place
        those that may go there."""
        fresh, self._fresh = self._fresh, {}
        ranks = sorted(self._line.rank(name) for name in fresh if name in self._line)
        last = None
        for rank in heapq.merge(self._waiting(replicas, window), ranks):
            if rank != last and rank.name in self._line:
                yield Offer(rank, rank.name in fresh)
            last = rank

    def _waiting(self, replicas: Mapping[str, ReplicaAccount], window: int) -> Iterator[Rank]:
        """Up to ``window`` calls that stay; a replica that runs nothing is offered all."""
        if not replicas:
            return
        busy = self._policy.keeps_busy
        is_any_idle = busy and any(not one.num_running for one in replicas.values())
        num_passed, limits = 0, None
        for rank in self._line.walk(None if is_any_idle else (*replicas, Line.ANYWHERE)):
            if limits is None or num_passed == window:
                if not self._is_open(replicas, num_passed < window):
                    return
                limits = self._limits(replicas)
            call = self._ledger.calls[rank.name]
            has_home = call.program.home is not None
            least_tokens = call.room_tokens if has_home else call.least_tokens
            if least_tokens <= limits[has_home]:
                yield rank
                limits = None  # something may have been dispatched or denied
            num_passed += rank.name in self._line

    def _limits(self, replicas: Mapping[str, ReplicaAccount]) -> tuple[float, float]:
        """The room that calls find if they need it from outside, and inside: all of it that is
        free once nobody is given others' KV."""
        if not all(name in self._denied for name in replicas):
            return float("inf"), float("inf")
        inside = max(one.free_tokens for one in replicas.values())
        outside = max(
            one.free_tokens - self._policy.headroom_tokens(one, self._ledger)
            for one in replicas.values()
        )
        return outside, inside

    def _is_open(self, replicas: Mapping[str, ReplicaAccount], is_within: bool) -> bool:
        busy = self._policy.keeps_busy
        return any(
            replica.has_lane
            and (is_within or (busy and not replica.num_running))
            and (self._policy.holders_pass or name not in self._closed)
            for name, replica in replicas.items()
        )

    def is_closed(self, call: CallAccount, replica: ReplicaAccount, rank: Rank) -> bool:
        """Whether room there is kept for an earlier call."""
        first = self._closed.get(replica.replica)
        if first is None or first >= rank:
            return False
        return not (self._policy.holders_pass and call.program.home is replica)

    def is_denied(self, replica: ReplicaAccount, rank: Rank) -> bool:
        """Whether an earlier call was not given others' KV there."""
        first = self._denied.get(replica.replica)
        return first is not None and first < rank

    def deny(self, offer: Offer, replicas: Iterable[ReplicaAccount]) -> None:
        """The call did not fit on these, of which nobody before it was denied any."""
        for replica in replicas:
            if replica.has_lane:
                self._denied[replica.replica] = offer.rank

    def reserve(
        self, call: CallAccount, offer: Offer, homes: Iterable[ReplicaAccount], now_s: float
    ) -> None:
        """A replica stays reserved for the same call until it goes, so its turn comes."""
        names = [replica.replica for replica in homes]
        if not names:
            return
        reserved = self._reserved.get(call.call)
        is_lost = reserved not in self._ledger.replicas or offer.is_fresh
        if reserved is None or (is_lost and reserved not in names):
            self._reserved[call.call] = reserved = names[0]
        if reserved in names and now_s - call.asked_s >= self._policy.patience_s:
            self._closed[reserved] = min(self._closed.get(reserved, offer.rank), offer.rank)

    def _unblock(self, name: str, rank: Rank | None) -> None:
        """A call is gone or stands elsewhere: whom it kept out is looked at again."""
        for table in (self._denied, self._closed):
            for replica, first in table.items():
                if first.name == name and first != rank:
                    self._stirred[replica] = None

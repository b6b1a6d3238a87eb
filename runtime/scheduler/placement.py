"""On which replica a call goes, and who gives up KV for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from weft.runtime.scheduler.accounts import CallAccount, ProgramAccount, ReplicaAccount
from weft.runtime.scheduler.eviction import EvictionOrder
from weft.runtime.scheduler.ledger import Ledger
from weft.runtime.scheduler.policy import SchedulingPolicy

__all__ = ["Chooser", "Fit", "fits_when_empty", "homes_of", "roams_s"]


class Fit(NamedTuple):
    replica: ReplicaAccount
    victims: tuple[ProgramAccount, ...]
    """Idle programs whose KV goes first."""


def fits_when_empty(call: CallAccount, replica: ReplicaAccount) -> bool:
    return call.size_tokens <= replica.capacity_tokens


def roams_s(call: CallAccount, policy: SchedulingPolicy) -> float:
    """When a call leaves the replica that holds its KV even for one that runs something.

    It has then waited for longer than computing its context takes.
    """
    program = call.program
    if program.running:
        return float("inf")
    if program.anchor is None:
        return call.asked_s
    return call.asked_s + max(policy.costs.restore_s(call.context_tokens), policy.patience_s)


def homes_of(
    call: CallAccount,
    among: Mapping[str, ReplicaAccount],
    policy: SchedulingPolicy,
    now_s: float,
) -> list[ReplicaAccount]:
    """Those of some replicas on which a call may go, best first, fitting or not.

    A program that is being served stays where it is. One whose KV is held or kept somewhere leaves
    it for a replica that runs nothing, or once it roams.
    """
    anchor = call.program.anchor
    homes = [anchor] if anchor is not None and anchor.replica in among else []
    if call.program.running:
        return homes
    stays = now_s < roams_s(call, policy)
    others = [
        replica
        for replica in among.values()
        if replica is not anchor
        and not (stays and replica.num_running)
        and fits_when_empty(call, replica)
    ]
    if len(others) > 1:
        others.sort(key=lambda replica: _load(replica, call))
    return homes + others


class Chooser:
    """Finds room for calls."""

    def __init__(self, ledger: Ledger, policy: SchedulingPolicy, order: EvictionOrder) -> None:
        self._ledger = ledger
        self._policy = policy
        self._order = order

    def find_fit(
        self,
        call: CallAccount,
        replicas: Iterable[ReplicaAccount],
        givers: Iterable[ReplicaAccount],
        now_s: float,
    ) -> Fit | None:
        """The first replica with free room, else the first of ``givers`` where idle programs make
        room.

        What its own program holds beyond the call's history goes last, and only at home.
        """
        for replica in replicas:
            if replica.has_lane and self._lacking(call, replica) <= 0:
                return Fit(replica, ())
        ready = [replica for replica in givers if replica.has_lane]
        for replica in ready:
            lacking = self._lacking(call, replica)
            victims = self.find_victims(call, replica, lacking, now_s)
            if victims is not None:
                return Fit(replica, victims)
        program, home = call.program, call.program.home
        if home is None or home not in ready or program.running:
            return None
        lacking = call.size_tokens - program.resident_tokens - home.free_tokens
        victims = self.find_victims(call, home, lacking, now_s)
        return None if victims is None else Fit(home, (*victims, program))

    def _lacking(self, call: CallAccount, replica: ReplicaAccount) -> int:
        is_inside = call.program.home is replica
        headroom = 0 if is_inside else self._policy.headroom_tokens(replica, self._ledger)
        return replica.need_tokens(call) + headroom - replica.free_tokens

    def find_victims(
        self, call: CallAccount, replica: ReplicaAccount, lacking: int, now_s: float
    ) -> tuple[ProgramAccount, ...] | None:
        """The least valuable idle programs that hold so many tokens; None if that is not enough.

        Where the replica runs nothing and the policy keeps it busy, no protection holds.
        """
        if replica.idle_tokens + replica.prefix_tokens < lacking:
            return None
        is_forced = self._policy.keeps_busy and not replica.num_running
        victims: list[ProgramAccount] = []
        freed = _Freed(replica, call.program.prefix)
        for one, worth in self._order.idle(replica, self._ledger, now_s):
            if freed.num_tokens >= lacking:
                break
            if one is call.program:
                continue
            if is_forced or not self._policy.protects(one, worth, call, now_s):
                freed.add(one)
                victims.append(one)
        return tuple(victims) if freed.num_tokens >= lacking else None


class _Freed:
    """What is free once these programs have gone, a prefix with the last who shares it."""

    def __init__(self, replica: ReplicaAccount, kept_prefix: str) -> None:
        self.num_tokens = 0
        self._replica = replica
        self._kept_prefix = kept_prefix
        self._gone: dict[str, int] = {}

    def add(self, program: ProgramAccount) -> None:
        self.num_tokens += program.private_tokens
        name = program.prefix
        if not name or name == self._kept_prefix:
            return
        self._gone[name] = self._gone.get(name, 0) + 1
        prefix = self._replica.prefixes[name]
        if self._gone[name] == prefix.num_sharers:
            self.num_tokens += prefix.num_tokens


def _load(replica: ReplicaAccount, call: CallAccount) -> float:
    """The share of it in use afterwards, by tokens or calls: a prefix held there makes it less."""
    num_tokens = replica.used_tokens + replica.need_tokens(call)
    return max(num_tokens / replica.capacity_tokens, (replica.num_running + 1) / replica.max_calls)

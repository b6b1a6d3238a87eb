"""On which replica a call goes, and who gives up KV for it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from weft.runtime.scheduler.accounts import CallAccount, ProgramAccount, ReplicaAccount
from weft.runtime.scheduler.ledger import Ledger
from weft.runtime.scheduler.policy import PROTECTED, SchedulingPolicy

__all__ = ["Fit", "find_fit", "find_victims", "fits_when_empty", "homes_of"]


class Fit(NamedTuple):
    replica: ReplicaAccount
    victims: tuple[ProgramAccount, ...]
    """Idle programs whose KV goes first."""


def fits_when_empty(call: CallAccount, replica: ReplicaAccount) -> bool:
    return call.size_tokens <= replica.capacity_tokens


def homes_of(
    call: CallAccount, ledger: Ledger, policy: SchedulingPolicy, now_s: float
) -> list[ReplicaAccount]:
    """Replicas on which a call may go, best first, fitting or not.

    A program that is being served stays where it is. One whose KV is held somewhere leaves it for
    a replica that runs nothing, or when it has waited longer than computing its context takes.
    """
    home = call.program.home
    if home is not None and call.program.running:
        return [home]
    others = [
        replica
        for replica in ledger.replicas.values()
        if replica is not home and fits_when_empty(call, replica)
    ]
    if home is not None:
        restore_s = policy.costs.restore_s(call.context_tokens)
        if now_s - call.asked_s < max(restore_s, policy.patience_s):
            others = [replica for replica in others if not replica.num_running]
    others.sort(key=lambda replica: _load(replica, call))
    return others if home is None else [home, *others]


def find_fit(
    call: CallAccount,
    replicas: Iterable[ReplicaAccount],
    givers: Iterable[ReplicaAccount],
    ledger: Ledger,
    policy: SchedulingPolicy,
    now_s: float,
) -> Fit | None:
    """The first replica with free room, else the first of ``givers`` where idle programs make room.

    What its own program holds beyond the call's history goes last, and only at home.
    """
    for replica in replicas:
        if replica.has_lane and replica.need_tokens(call) <= replica.free_tokens:
            return Fit(replica, ())
    ready = [replica for replica in givers if replica.has_lane]
    for replica in ready:
        lacking = replica.need_tokens(call) - replica.free_tokens
        victims = find_victims(call, replica, lacking, ledger, policy, now_s)
        if victims is not None:
            return Fit(replica, victims)
    program, home = call.program, call.program.home
    if home is None or home not in ready or program.running:
        return None
    lacking = call.size_tokens - program.resident_tokens - home.free_tokens
    victims = find_victims(call, home, lacking, ledger, policy, now_s)
    return None if victims is None else Fit(home, (*victims, program))


def find_victims(
    call: CallAccount,
    replica: ReplicaAccount,
    lacking: int,
    ledger: Ledger,
    policy: SchedulingPolicy,
    now_s: float,
) -> tuple[ProgramAccount, ...] | None:
    """The least valuable idle programs that hold so many tokens; None if that is not enough.

    Where the replica runs nothing and the policy keeps it busy, no protection holds.
    """
    idle = [one for one in replica.idle.values() if one is not call.program]
    if sum(one.private_tokens for one in idle) + replica.prefix_tokens < lacking:
        return None
    is_forced = policy.keeps_busy and not replica.num_running
    valued = [(policy.keep_value(one, call, ledger, now_s), one) for one in idle]
    victims: list[ProgramAccount] = []
    freed = _Freed(replica, call.program.prefix)
    # Sorting is stable: of equals the longest idle goes first.
    for value, one in sorted(valued, key=lambda pair: pair[0]):
        if freed.num_tokens >= lacking or (value >= PROTECTED and not is_forced):
            break
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

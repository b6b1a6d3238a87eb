"""Idle programs of every replica in the order in which their KV goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from weft.runtime.scheduler.accounts import ProgramAccount, ReplicaAccount
from weft.runtime.scheduler.ledger import Ledger
from weft.runtime.scheduler.policy import SchedulingPolicy, Worth
from weft.runtime.scheduler.ranking import Rank, Ranking

__all__ = ["EvictionOrder", "Giver"]


class _Tier(NamedTuple):
    replica: str
    is_spilled: bool


class Giver(NamedTuple):
    program: ProgramAccount
    worth: Worth


class EvictionOrder:
    """Keeps what a policy says that KV is worth, so that one fact costs one insertion.

    Values that change with time alone are computed anew for a whole replica when they are asked
    for and older than the policy allows.
    """

    def __init__(self, policy: SchedulingPolicy) -> None:
        self._policy = policy
        self._orders: dict[_Tier, Ranking] = {}
        self._tiers: dict[str, _Tier] = {}
        self._good_until_s: dict[_Tier, float] = {}

    def update(self, program: ProgramAccount, ledger: Ledger, now_s: float) -> None:
        """A fact was about the program."""
        before, tier = self._tiers.get(program.program), _tier_of(program, ledger)
        if before is not None and before != tier:
            del self._tiers[program.program]
            self._orders[before].take(program.program)
        if tier is not None:
            self._tiers[program.program] = tier
            self._put(program, tier, ledger, now_s)

    def idle(self, replica: ReplicaAccount, ledger: Ledger, now_s: float) -> Iterator[Giver]:
        """Idle programs there, whose KV goes first first."""
        return self._of(_Tier(replica.replica, False), replica.idle, ledger, now_s)

    def spilled(self, replica: ReplicaAccount, ledger: Ledger, now_s: float) -> Iterator[Giver]:
        """Programs whose KV was demoted there, likewise."""
        return self._of(_Tier(replica.replica, True), replica.spilled, ledger, now_s)

    def _of(
        self, tier: _Tier, members: Mapping[str, ProgramAccount], ledger: Ledger, now_s: float
    ) -> Iterator[Giver]:
        if self._good_until_s.setdefault(tier, now_s) <= now_s:
            self._good_until_s[tier] = now_s + self._policy.values_last_s
            for program in members.values():
                self._put(program, tier, ledger, now_s)
        for rank in self._orders.get(tier, ()):
            value, _, loss = rank.key
            yield Giver(ledger.programs[rank.name], Worth(value, loss))

    def _put(self, program: ProgramAccount, tier: _Tier, ledger: Ledger, now_s: float) -> None:
        value_of = self._policy.spill_value if tier.is_spilled else self._policy.keep_value
        worth = value_of(program, ledger, now_s)
        key = worth.rank, program.idle_since_s, worth.loss
        if tier not in self._orders:
            self._orders[tier] = Ranking()
        self._orders[tier].put(Rank(key, 0, program.program))


def _tier_of(program: ProgramAccount, ledger: Ledger) -> _Tier | None:
    if program.running or program.anchor is None or program.program not in ledger.programs:
        return None
    return _Tier(program.anchor.replica, program.home is None)

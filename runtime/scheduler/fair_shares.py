"""Fair shares of tenants by virtual counters of service (VTC; Sheng et al., 2024)."""

from __future__ import annotations

import heapq
from typing import NamedTuple

from weft.runtime.scheduler.accounts import CallAccount

__all__ = ["FairShares"]

MOST_TENANTS = 1024
"""Kept with nothing waiting; beyond that those are forgotten who are not ahead of anybody."""


class _Asked(NamedTuple):
    program: str
    tenant: _Tenant
    start_s: float
    """What its tenant will have been given before it."""
    cost_s: float
    is_outside: bool


class _Tenant:
    __slots__ = ("given_s", "is_queued", "num_waiting", "pending_s")

    def __init__(self) -> None:
        self.given_s = 0.0
        self.is_queued = False
        self.num_waiting = 0
        self.pending_s = 0.0
        """Of calls that wait and whose programs hold no KV."""


class FairShares:
    """Gives every call a lag: by how much its tenant is ahead, in engine seconds.

    A tenant is counted what its dispatched calls cost. A call lags by what its tenant has been
    given more than the tenant with least that waits for anything; one whose program holds nothing
    lags also by those of its tenant that came in vain before it, so that a burst does not go first
    as a whole. A tenant that begins to wait is lifted to the one with least: what was not asked for
    is not saved up. A tenant alone has no lag. Unlike start tags of a queue, counts of what was
    given stay right where calls do not go in the order of their tags, as those do not who hold KV.
    """

    __slots__ = ("_asked", "_calls_of", "_floor_s", "_least", "_max_lag_s", "_tenants")

    def __init__(self, *, max_lag_s: float) -> None:
        self._max_lag_s = max_lag_s
        self._tenants: dict[str, _Tenant] = {}
        self._asked: dict[str, _Asked] = {}
        """Waiting calls, by name."""
        self._calls_of: dict[str, dict[str, None]] = {}
        """Their names, by program."""
        self._least: list[tuple[float, str]] = []
        """At most what each waiting tenant has been given, read again as it comes to the front."""
        self._floor_s = 0.0

    def __len__(self) -> int:
        """Tenants of whom count is kept."""
        return len(self._tenants)

    def asked(self, call: CallAccount, cost_s: float) -> None:
        program, name = call.program, call.program.tenant.tenant
        tenant = self._tenant(name)
        if not tenant.num_waiting:
            tenant.given_s = max(tenant.given_s, self._raise_floor())
        if not tenant.is_queued:
            tenant.is_queued = True
            heapq.heappush(self._least, (tenant.given_s, name))
        is_outside = program.home is None
        start_s = tenant.given_s + (tenant.pending_s if is_outside else 0.0)
        tenant.num_waiting += 1
        tenant.pending_s += cost_s if is_outside else 0.0
        self._asked[call.call] = _Asked(program.program, tenant, start_s, cost_s, is_outside)
        self._calls_of.setdefault(program.program, {})[call.call] = None

    def dispatched(self, call: str) -> None:
        asked = self.dropped(call)
        if asked is not None:  # else it ran on a replica that left, and was counted then
            asked.tenant.given_s += asked.cost_s

    def dropped(self, call: str) -> _Asked | None:
        """The call waits no more; None if it did not."""
        asked = self._asked.pop(call, None)
        if asked is not None:
            asked.tenant.num_waiting -= 1
            asked.tenant.pending_s -= asked.cost_s if asked.is_outside else 0.0
            self._calls_of.get(asked.program, {}).pop(call, None)
        return asked

    def ended(self, program: str) -> None:
        for call in self._calls_of.pop(program, ()):
            self.dropped(call)

    def lag_s(self, call: CallAccount) -> float:
        asked = self._asked.get(call.call)
        if asked is None or len(self) < 2:
            return 0.0
        return min(self._max_lag_s, max(0.0, asked.start_s - self._raise_floor()))

    def _tenant(self, name: str) -> _Tenant:
        tenant = self._tenants.get(name)
        if tenant is None:
            self._forget_past()
            tenant = self._tenants[name] = _Tenant()
        return tenant

    def _raise_floor(self) -> float:
        """What the waiting tenant with least has been given: never less than it was before."""
        while self._least:
            given_s, name = self._least[0]
            tenant = self._tenants[name]
            if not tenant.num_waiting:
                heapq.heappop(self._least)
                tenant.is_queued = False
            elif tenant.given_s > given_s:
                heapq.heapreplace(self._least, (tenant.given_s, name))
            else:
                self._floor_s = max(self._floor_s, given_s)
                break
        return self._floor_s

    def _forget_past(self) -> None:
        """Tenants who wait for nothing and are not ahead of anybody need no entry."""
        if len(self._tenants) > MOST_TENANTS:
            floor_s = self._raise_floor()
            self._tenants = {
                name: one
                for name, one in self._tenants.items()
                if one.num_waiting or one.given_s > floor_s
            }
            self._least = [entry for entry in self._least if entry[1] in self._tenants]
            heapq.heapify(self._least)

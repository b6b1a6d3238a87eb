"""Fair shares of tenants by start-time fair queueing (Goyal, Vin and Cheng, 1996)."""

from __future__ import annotations

from weft.runtime.scheduler.accounts import CallAccount

__all__ = ["FairShares"]


class FairShares:
    """Gives every call a lag: by how much its tenant is ahead of the others, in engine seconds.

    A call starts in virtual time where its tenant's last one ends, or now if that is over;
    virtual time is the start of the call that was dispatched last. A tenant alone has no lag.
    """

    __slots__ = ("_ends_s", "_max_lag_s", "_now_s", "_starts_s")

    def __init__(self, *, max_lag_s: float) -> None:
        self._max_lag_s = max_lag_s
        self._now_s = 0.0
        self._ends_s: dict[str, float] = {}
        self._starts_s: dict[str, dict[str, float]] = {}

    def asked(self, call: CallAccount, cost_s: float) -> None:
        tenant, program = call.program.tenant.tenant, call.program.program
        start_s = max(self._now_s, self._ends_s.get(tenant, 0.0))
        self._ends_s[tenant] = start_s + cost_s
        self._starts_s.setdefault(program, {})[call.call] = start_s
        self._forget_past()

    def dispatched(self, call: CallAccount) -> None:
        start_s = self._starts_s.get(call.program.program, {}).pop(call.call, None)
        if start_s is not None:
            self._now_s = max(self._now_s, start_s)

    def ended(self, program: str) -> None:
        self._starts_s.pop(program, None)

    def lag_s(self, call: CallAccount) -> float:
        if len(self._ends_s) < 2:
            return 0.0
        start_s = self._starts_s.get(call.program.program, {}).get(call.call, self._now_s)
        return min(self._max_lag_s, max(0.0, start_s - self._now_s))

    def _forget_past(self) -> None:
        """Tenants who are not ahead of anybody need no entry."""
        if len(self._ends_s) > 1024:
            self._ends_s = {t: end for t, end in self._ends_s.items() if end > self._now_s}

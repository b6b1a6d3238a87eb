"""How much of a replica's time may go into computing again what was given up out of turn."""

from __future__ import annotations

__all__ = ["RestoreCredit"]


class RestoreCredit:
    """A replica earns ``share`` seconds a second, and pays for every context computed again.

    It may owe, however much, so that what costs more than it ever has comes in its turn too.
    """

    __slots__ = ("_balances", "_most_s", "_share")

    def __init__(self, *, share: float, most_s: float = 1.0) -> None:
        """``most_s``: what it has at first, and at most."""
        self._share = share
        self._most_s = most_s
        self._balances: dict[str, tuple[float, float]] = {}
        """By replica: seconds, and when that was."""

    def is_left(self, replica: str, now_s: float) -> bool:
        balance_s, since_s = self._balances.get(replica, (self._most_s, now_s))
        return balance_s + self._share * (now_s - since_s) > 0

    def pay(self, replica: str, seconds: float, now_s: float) -> None:
        balance_s, since_s = self._balances.get(replica, (self._most_s, now_s))
        earned_s = self._share * (now_s - since_s)
        self._balances[replica] = min(self._most_s, balance_s + earned_s) - seconds, now_s

"""What a program has used of its Budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from weft.errors import BudgetExceeded
from weft.programs.budget import Budget

__all__ = ["Account", "Resource", "Spent"]

Resource = Literal["tokens", "steps", "value_calls", "seconds", "samples"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """A snapshot of an account, next to what it may hold."""

    limit: Budget
    tokens: int
    steps: int
    value_calls: int
    samples: int
    seconds: float


class Account:
    """Counts what one scope and everything below it uses; charges go up to the Run's own.

    ``on_exceeded`` is called once, with the error that every Step under it shall meet.
    """

    __slots__ = (
        "_on_exceeded",
        "exceeded",
        "limit",
        "name",
        "parent",
        "samples",
        "started_s",
        "steps",
        "tokens",
        "value_calls",
    )

    def __init__(
        self,
        limit: Budget,
        *,
        name: str,
        parent: Account | None,
        started_s: float,
        on_exceeded: Callable[[BudgetExceeded], None],
    ) -> None:
        self.limit = limit
        self.name = name
        self.parent = parent
        self.started_s = started_s
        self._on_exceeded = on_exceeded
        self.exceeded: BudgetExceeded | None = None
        self.tokens = 0
        self.steps = 0
        self.value_calls = 0
        self.samples = 0

    def admit(self, *, value_calls: int = 0, samples: int = 0) -> None:
        """Charge a new Step, or charge nothing and raise BudgetExceeded, here or further up."""
        account: Account | None = self
        while account is not None:
            account._check_admission(value_calls, samples)
            account = account.parent
        account = self
        while account is not None:
            account.steps += 1
            account.value_calls += value_calls
            account.samples += samples
            account = account.parent

    def _check_admission(self, value_calls: int, samples: int) -> None:
        if self.exceeded is not None:
            raise self.exceeded
        limit = self.limit
        if limit.steps is not None and self.steps + 1 > limit.steps:
            raise self.exceed("steps", limit.steps)
        if limit.value_calls is not None and self.value_calls + value_calls > limit.value_calls:
            raise self.exceed("value_calls", limit.value_calls)
        if limit.samples is not None and self.samples + samples > limit.samples:
            raise self.exceed("samples", limit.samples)

    def add_tokens(self, num_tokens: int) -> None:
        """Charge generated tokens; raises BudgetExceeded here or further up."""
        account: Account | None = self
        while account is not None:
            account.tokens += num_tokens
            most = account.limit.tokens
            if most is not None and account.tokens > most:
                raise account.exceed("tokens", most)
            account = account.parent

    def exceed(self, resource: Resource, most: float) -> BudgetExceeded:
        """Mark the account as used up and stop what runs under it; gives the error."""
        if self.exceeded is None:
            self.exceeded = BudgetExceeded(
                f"The budget of {self.name!r} allows {most:g} {resource}, and more was wanted.",
                resource=resource,
                remedy="Raise the Budget, or ask for less.",
            )
            self._on_exceeded(self.exceeded)
        return self.exceeded

    def spent(self, now_s: float) -> Spent:
        """What has been used so far."""
        return Spent(
            limit=self.limit,
            tokens=self.tokens,
            steps=self.steps,
            value_calls=self.value_calls,
            samples=self.samples,
            seconds=now_s - self.started_s,
        )

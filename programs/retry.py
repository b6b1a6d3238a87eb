"""When a Step is tried again."""

from __future__ import annotations

from dataclasses import dataclass

from weft.errors import (
    CallerError,
    EngineClosed,
    EngineDied,
    InvalidRequest,
    JournalError,
    LimitReached,
)

__all__ = ["NO_RETRY", "Retry", "as_retry"]

HOPELESS = (CallerError, LimitReached, JournalError, EngineClosed, EngineDied)
"""Errors that the same call would only meet again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often, how fast and for what a Step is tried again.

    Every attempt of a ``gen`` draws with a seed of its own. Raises InvalidRequest at construction.
    """

    attempts: int = 3
    """Tries in all, the first one included."""
    backoff_s: float = 0.0
    """Seconds before the second try; each further wait is ``factor`` times as long."""
    factor: float = 2.0
    max_backoff_s: float = 60.0
    on: tuple[type[Exception], ...] | None = None
    """Errors worth another try; ``None`` is every one that is not the caller's, a limit, or an
    engine that is gone."""

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise InvalidRequest(
                f"Retry(attempts=…) is {self.attempts!r}.", remedy="It must be at least 1."
            )
        if min(self.backoff_s, self.factor, self.max_backoff_s) < 0:
            raise InvalidRequest(
                f"Retry has a negative wait: {self!r}.", remedy="Waits must be at least 0."
            )

    def is_worth(self, error: Exception, attempt: int) -> bool:
        """Whether to try again after ``attempt`` (1 is the first) failed with ``error``."""
        if attempt >= self.attempts:
            return False
        if self.on is not None:
            return isinstance(error, self.on)
        return not isinstance(error, HOPELESS)

    def wait_s(self, attempt: int) -> float:
        """Seconds to wait after ``attempt`` failed."""
        return min(self.backoff_s * self.factor ** (attempt - 1), self.max_backoff_s)


NO_RETRY = Retry(attempts=1)


def as_retry(retries: int | Retry) -> Retry:
    """``3`` means three tries beyond the first, at once, for any error worth it."""
    if isinstance(retries, Retry):
        return retries
    return NO_RETRY if retries == 0 else Retry(attempts=retries + 1)

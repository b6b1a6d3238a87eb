"""What an engine that schedules whole programs is told about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from weft.runtime.observe.event import Event

__all__ = ["ProgramEngine", "ProgramStart"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramStart:
    """A Run that is about to begin."""

    run_id: str
    path: str
    """Which program it is: what is learnt of one Run serves the others."""
    tenant: str = ""
    priority: int = 0
    deadline_s: float | None = None
    """Seconds from its start within which it should have ended. No limit: who is late goes on."""
    budget_tokens: int | None = None


@runtime_checkable
class ProgramEngine(Protocol):
    """An engine that serves Requests in an order which their programs decide."""

    def watch(self, start: ProgramStart) -> Callable[[Event], None]:
        """What is to be called for every event of the Run, from its first to its last."""
        ...

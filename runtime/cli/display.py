"""Who watches a Run: people at a terminal, people reading a log, and the trace page."""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from weft.runtime.executor import Observer
from weft.runtime.observe.event import Event, StepEvent

__all__ = ["watching"]


@contextmanager
def watching(*, as_json: bool, trace: Path | None) -> Generator[Sequence[Observer]]:
    """Observers for one Run; what they show is complete when the block ends."""
    yield () if as_json else (print_line,)


def print_line(event: Event) -> None:
    if isinstance(event, StepEvent) and event.phase in ("finished", "failed", "cancelled"):
        line = f"{event.time_s:7.2f} s  {event.phase:<9} {event.lineage}  {event.summary}"
        print(line, file=sys.stderr)

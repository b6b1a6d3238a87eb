"""Who watches a Run: people at a terminal, people reading a log, and the trace page."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from weft.errors import CallerError
from weft.runtime.observe import Event, LiveTree, Observer, PlainLines, StepDetail, trace_html

__all__ = ["TracePage", "only_json_on_stdout", "watching"]


@contextmanager
def watching() -> Generator[Observer]:
    """An observer that shows a Run on standard error: a live tree on a terminal, else lines."""
    console = Console(stderr=True)
    if console.is_terminal and not console.is_dumb_terminal:
        with LiveTree(console, time.monotonic) as tree:
            yield tree
    else:
        yield PlainLines(lambda line: print(line, file=sys.stderr, flush=True))


@contextmanager
def only_json_on_stdout(is_wanted: bool) -> Generator[None]:
    """Send what a program prints to standard error, so that ``--json`` stays one object."""
    with contextlib.redirect_stdout(sys.stderr) if is_wanted else contextlib.nullcontext():
        yield


class TracePage:
    """Collects the events of a Run for one HTML page."""

    def __init__(self, path: Path) -> None:
        """Raises CallerError when no file can be written there."""
        if path.is_dir() or not path.absolute().parent.is_dir():
            raise CallerError(
                f"--trace cannot be written to {str(path)!r}.",
                remedy="Give a file in a folder that is there.",
            )
        self._path = path
        self._events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self._events.append(event)

    def write(self, details: Iterable[StepDetail]) -> None:
        """Write the page, with the Steps' records. Raises CallerError when it cannot be."""
        page = trace_html(self._events, details)
        try:
            self._path.write_text(page, encoding="ascii")
        except OSError as error:
            raise CallerError(
                f"--trace cannot be written to {str(self._path)!r}: {error}.",
                remedy="Give another file.",
            ) from error

"""What other threads ask of the engine's thread."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from queue import Empty, SimpleQueue
from typing import NamedTuple

from weft.runtime.engine.sequence import Job

__all__ = ["Cancel", "Close", "Demote", "Disband", "Inbox", "Letter", "Release", "Submit"]


class Submit(NamedTuple):
    """Serve this job."""

    job: Job


class Cancel(NamedTuple):
    """End some sequences of a request, or all with ``indices`` None. Unknown ones are ignored."""

    request_id: str
    indices: Seq[int] | None


class Disband(NamedTuple):
    """End a team with all that its lanes write. Unknown ones are ignored."""

    team_id: str


class Release(NamedTuple):
    """What a Run has cached may go before all else."""

    run_id: str


class Demote(NamedTuple):
    """The same, but it may be kept outside the KV pool."""

    run_id: str


class Close(NamedTuple):
    """Cancel everything and stop the loop."""


Letter = Submit | Cancel | Disband | Release | Demote | Close


class Inbox:
    """Letters in order of arrival. Any thread posts; the engine's thread collects."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Letter] = SimpleQueue()

    def post(self, letter: Letter) -> None:
        self._queue.put(letter)

    def collect(self, *, is_blocking: bool) -> list[Letter]:
        """All letters that are there; with ``is_blocking`` waits for the first one."""
        letters = [self._queue.get()] if is_blocking else []
        while True:
            try:
                letters.append(self._queue.get_nowait())
            except Empty:
                return letters

"""Where code runs: a Strand is one asyncio task of a Run, and the source of lineage ids."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from itertools import chain
from typing import Any, Protocol

from weft.errors import InvalidRequest, StepOutsideRun
from weft.programs.calls import Call
from weft.programs.handle import Step
from weft.tools import ToolRunner

__all__ = ["CURRENT", "StepRunner", "Strand", "check_name", "current_strand"]


class StepRunner(Protocol):
    """A scope that takes orders: implemented by the executor, and by the planner."""

    @property
    def key(self) -> str:
        """What identifies the enclosing Step over all Runs, the same in every attempt."""
        ...

    @property
    def tools(self) -> ToolRunner:
        """What runs the calls of tools."""
        ...

    def submit(self, call: Call, strand: Strand) -> Step[Any]:
        """Start (or queue) the work and return its handle at once.

        Raises UnsupportedFeature, BudgetExceeded, StepOutsideRun when the scope has ended.
        """
        ...

    async def disband(self, team: str) -> None:
        """None of the team's lanes writes any more, nor will: let the engine forget it."""
        ...

    def adopt(self, task: asyncio.Future[Any]) -> None:
        """A plain asyncio task was created inside: it must not outlive the scope."""
        ...


class Strand:
    """The path of one task and the ordinals it has given out.

    An id is the parent's path, a name, and the ordinal among equal names; each task counts for
    itself. So an id depends on the order of lines within one task, and never on which of two
    tasks was faster. Names count apart, so that a task which some library creates now and then
    does not shift the ids of others.
    """

    __slots__ = ("_branches", "_counts", "path", "read", "runner")

    path: str
    runner: StepRunner
    read: tuple[str, ...]
    """Lineages read so far that no later one already follows: what comes next comes after."""

    def __init__(self, path: str, runner: StepRunner, read: tuple[str, ...] = ()) -> None:
        self.path = path
        self.runner = runner
        self.read = read
        self._counts: dict[str, int] | None = None
        self._branches: list[tuple[asyncio.Future[Any], Strand]] | None = None

    def child_path(self, name: str) -> str:
        """A new id below this path: ``path/name``, then ``path/name#2``, ``path/name#3`` …"""
        counts = self._counts
        if counts is None:
            counts = self._counts = {}
        ordinal = counts[name] = counts.get(name, 0) + 1
        return f"{self.path}/{name}" if ordinal == 1 else f"{self.path}/{name}#{ordinal}"

    def fork(self, name: str) -> Strand:
        """The Strand of a task that this one creates."""
        return Strand(self.child_path(name), self.runner, self.read)

    def watch(self, task: asyncio.Future[Any], branch: Strand) -> None:
        """Remember a created task, so that what it read is known here once it is done."""
        if self._branches is None:
            self._branches = []
        self._branches.append((task, branch))

    def saw(self, step: Step[Any]) -> None:
        """Code of this task goes on with the result of ``step``."""
        lineage = step.lineage
        if lineage not in self.read:
            implied = frozenset(step.after)
            self.read = (*(known for known in self.read if known not in implied), lineage)

    def frontier(self) -> tuple[str, ...]:
        """What has been read, including by created tasks that are done."""
        if self._branches:
            self._join(self._branches)
        return self.read

    def _join(self, branches: list[tuple[asyncio.Future[Any], Strand]]) -> None:
        done = [branch for task, branch in branches if task.done()]
        if done:
            self._branches = [pair for pair in branches if not pair[0].done()]
            read = chain(self.read, *(branch.frontier() for branch in done))
            self.read = tuple(dict.fromkeys(read))


CURRENT: ContextVar[Strand | None] = ContextVar("weft_strand", default=None)
"""The Strand that the running code belongs to; ``None`` outside of a Run."""


def current_strand(what: str) -> Strand:
    """The running code's Strand; raises StepOutsideRun naming ``what`` was called."""
    strand = CURRENT.get()
    if strand is None:
        raise StepOutsideRun(
            f"{what} was called where no Run is active.",
            remedy="Call it from a program started with Run.start(program, …, engine=…).",
        )
    return strand


def check_name(name: str) -> str:
    """A Step's name as it may stand in a lineage; raises InvalidRequest for ``/``, ``#``, ``~``."""
    if not name or "/" in name or "#" in name or "~" in name:
        raise InvalidRequest(
            f"A Step's name is {name!r}.", remedy="It must not be empty or hold '/', '#' or '~'."
        )
    return name

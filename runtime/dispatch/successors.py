"""What a Run has submitted and not ended: the part of its future that is certain."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from weft.runtime.dispatch.profiles import Left
from weft.runtime.observe.event import StepEvent

__all__ = ["Successors"]

MAX_STEPS = 256
"""Open Steps up to which the path through them is looked for."""
NOTHING = Left(0, 0.0)


class _Open(NamedTuple):
    submitted: StepEvent
    parts: dict[str, None]
    """Open Steps that were submitted from within it."""


class Successors:
    """The open Steps of one Run. A Step that was handed un-awaited to another comes before it."""

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}

    def heard(self, event: StepEvent) -> None:
        if event.phase == "submitted":
            self._open[event.lineage] = _Open(event, {})
            whole = self._open.get(event.parent)
            if whole is not None:
                whole.parts[event.lineage] = None
        elif event.phase in ("finished", "failed", "cancelled"):
            self._open.pop(event.lineage, None)
            whole = self._open.get(event.parent)
            if whole is not None:
                whole.parts.pop(event.lineage, None)

    def path(self, gen_s: float, tool_s: Callable[[str], float]) -> Left:
        """Generations and seconds of the longest chain, if each generation takes ``gen_s`` and
        each tool ``tool_s`` of its name; nothing where too many Steps are open to look."""
        if len(self._open) > MAX_STEPS:
            return NOTHING
        ends: dict[str, Left] = {}

        def end_of(lineage: str) -> Left:
            if lineage in ends:
                return ends[lineage]
            step = self._open.get(lineage)
            if step is None:
                return NOTHING
            ends[lineage] = NOTHING  # what waits for itself through shared state ends never
            begin = latest((*step.submitted.inputs, *step.parts))
            ends[lineage] = _after(begin, step.submitted, gen_s, tool_s)
            return ends[lineage]

        def latest(lineages: Iterable[str]) -> Left:
            return max([end_of(one) for one in lineages], key=_seconds, default=NOTHING)

        return latest(self._open)


def _after(begin: Left, step: StepEvent, gen_s: float, tool_s: Callable[[str], float]) -> Left:
    match step.kind:
        case "gen":
            return Left(begin.steps + 1, begin.seconds + gen_s)
        case "tool":
            return Left(begin.steps, begin.seconds + tool_s(step.name))
        case _:
            return begin


def _seconds(left: Left) -> float:
    return left.seconds

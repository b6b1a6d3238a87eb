"""Events as plain lines: for logs, pipes and everything that is not a terminal."""

from __future__ import annotations

from collections.abc import Callable

from weft.runtime.observe.event import Event, ProgressEvent, RunEvent, StepEvent
from weft.runtime.observe.text import clipped, cost, one_line, program_name
from weft.runtime.observe.view import RunView

__all__ = ["PlainLines"]

_WORDS = {
    "started": "start",
    "retrying": "retry",
    "finished": "done",
    "failed": "FAIL",
    "cancelled": "cancel",
}


class PlainLines:
    """An observer that writes one line per start and end of a Step, indented by enclosure.

    A line holds no control characters, whatever a model or a tool wrote.
    """

    def __init__(self, write: Callable[[str], None], *, width: int = 120) -> None:
        """``write`` takes one line without its end; longer lines than ``width`` are cut."""
        self._write = write
        self._width = width
        self._view = RunView(max_text=0)

    def __call__(self, event: Event) -> None:
        self._view.apply(event)
        text = self._text(event)
        if text:
            self._write(clipped(f"{event.time_s:8.2f}s  {text}", self._width))

    def _text(self, event: Event) -> str:
        match event:
            case RunEvent():
                error = f": {one_line(event.error)}" if event.error else ""
                return f"run {event.phase} {program_name(event.program)}{error}"
            case ProgressEvent():
                return f"... {one_line(event.text)}"
            case StepEvent():
                return self._step_text(event)
            case _:
                return ""

    def _step_text(self, event: StepEvent) -> str:
        word = _WORDS.get(event.phase)
        if word is None:
            return ""
        step = self._view.steps[event.lineage]
        indent = "  " * self._view.depth(event.lineage)
        said = one_line(step.asked if event.phase == "started" else event.summary)
        took = "" if step.is_active else f" ({cost(step.usage, step.seconds(event.time_s))})"
        return f"{indent}{word:6} {one_line(event.name)}{took}{': ' if said else ''}{said}"

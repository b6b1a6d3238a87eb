"""A Run on a terminal: the tree of its Steps, as it grows."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from weft.runtime.observe.event import Event
from weft.runtime.observe.text import clipped_front, cost, one_line
from weft.runtime.observe.view import RunView, StepView

__all__ = ["LiveTree"]

_MAX_TEXT = 200
"""Characters of streamed text kept per sequence."""
_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_PLAIN_FRAMES = "|/-\\"
_FRAMES_PER_SECOND = 10
_MARKS = {"finished": ("✓", "+"), "failed": ("✗", "x"), "cancelled": ("–", "-")}
_STYLES = {"finished": "green", "failed": "red", "cancelled": "yellow"}


class LiveTree:
    """An observer that draws the Run in place: while it is entered, about ten times a second.

    The tree never outgrows the terminal: Steps that are over make room for those that run, and
    the last line counts what is not shown. Events may come from one thread while another draws.
    """

    def __init__(self, console: Console, now: Callable[[], float]) -> None:
        """``now`` gives seconds; only differences matter."""
        self._console = console
        self._now = now
        self._view = RunView(max_text=_MAX_TEXT)
        self._offset_s = now()
        self._lock = threading.Lock()
        self._live = Live(
            console=console,
            get_renderable=self.render,
            refresh_per_second=_FRAMES_PER_SECOND,
            vertical_overflow="crop",
        )

    def __call__(self, event: Event) -> None:
        with self._lock:
            self._offset_s = self._now() - event.time_s
            self._view.apply(event)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def render(self) -> Text:
        """The tree as it is now."""
        with self._lock:
            now_s = self._now_s()
            shown = self._shown(max(self._console.height - 2, 1))
            lines = [self._line(self._view.steps[lineage], now_s) for lineage in shown]
            lines.append(self._footer(len(shown), now_s))
        return Text("\n").join(lines)

    def _now_s(self) -> float:
        """Seconds on the Run's clock; it stops with the Run."""
        if self._view.phase != "started":
            return self._view.last_s
        return self._now() - self._offset_s

    def _shown(self, num_rows: int) -> list[str]:
        """Lineages in tree order: what runs with all that encloses it, then the newest others."""
        steps = self._view.steps
        if len(steps) <= num_rows:
            chosen = set(steps)
        else:
            newest_first = list(reversed(steps))
            chosen = set[str]()
            for is_active in (True, False):
                for lineage in newest_first:
                    if steps[lineage].is_active == is_active:
                        self._choose(lineage, chosen, num_rows)
        return [lineage for lineage in self._view.tree_order() if lineage in chosen]

    def _choose(self, lineage: str, chosen: set[str], num_rows: int) -> None:
        """Add a Step and what encloses it, if there is room for all of them."""
        wanted: set[str] = set()
        step = self._view.steps.get(lineage)
        while step is not None and step.lineage not in chosen:
            wanted.add(step.lineage)
            step = self._view.steps.get(step.parent)
        if len(chosen) + len(wanted) <= num_rows:
            chosen |= wanted

    def _line(self, step: StepView, now_s: float) -> Text:
        mark, style = self._mark(step, now_s)
        line = Text(no_wrap=True, overflow="crop")
        line.append("  " * self._view.depth(step.lineage))
        line.append(f"{mark} ", style=style)
        line.append(one_line(step.name), style="bold")
        line.append(f"  {self._cost(step, now_s)}", style="cyan")
        room = self._console.width - line.cell_len - 2
        said = self._said(step)
        if said and room > 8:
            line.append("  ")
            line.append(clipped_front(said, room) if step.is_active else said, style="dim")
        line.truncate(self._console.width, overflow="ellipsis")
        return line

    def _mark(self, step: StepView, now_s: float) -> tuple[str, str]:
        is_plain = not self._console.encoding.startswith("utf")
        if step.phase in _MARKS:
            return _MARKS[step.phase][is_plain], _STYLES[step.phase]
        if step.phase == "submitted":
            return ("." if is_plain else "·"), "dim"
        frames = _PLAIN_FRAMES if is_plain else _FRAMES
        return frames[int(now_s * _FRAMES_PER_SECOND) % len(frames)], "yellow"

    def _cost(self, step: StepView, now_s: float) -> str:
        if step.is_active:
            tokens = f"{step.num_tokens} tok, " if step.num_tokens else ""
            return f"{tokens}{step.seconds(now_s):.1f} s"
        return cost(step.usage, step.seconds(now_s))

    def _said(self, step: StepView) -> str:
        if not step.is_active:
            return one_line(step.told)
        texts = " | ".join(step.texts[index] for index in sorted(step.texts))
        return one_line(texts or step.asked)

    def _footer(self, num_shown: int, now_s: float) -> Text:
        view = self._view
        steps = view.steps.values()
        counts = [
            (sum(step.is_active for step in steps), "running"),
            (sum(step.phase == "finished" for step in steps), "done"),
            (sum(step.phase == "failed" for step in steps), "failed"),
            (sum(step.phase == "cancelled" for step in steps), "cancelled"),
            (len(view.steps) - num_shown, "not shown"),
        ]
        parts = [f"{number} {word}" for number, word in counts if number]
        line = Text(", ".join([*parts, cost(view.usage, now_s)]), style="bold", no_wrap=True)
        if view.progress:
            line.append(f"  {one_line(view.progress)}", style="dim")
        line.truncate(self._console.width, overflow="ellipsis")
        return line

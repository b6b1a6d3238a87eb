"""A Run as its events so far tell it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, Self

from weft.runtime.observe.event import (
    Event,
    ProgressEvent,
    ResultEvent,
    RunEvent,
    StepEvent,
    StepKind,
    StepPhase,
    TokenEvent,
)
from weft.runtime.observe.usage import Usage

__all__ = ["RunView", "StepView"]


class StepView:
    """One Step as of the last event. Times are seconds since the Run started."""

    __slots__ = (
        "after",
        "asked",
        "ended_s",
        "inputs",
        "kind",
        "lineage",
        "name",
        "num_retries",
        "num_tokens",
        "parent",
        "phase",
        "started_s",
        "submitted_s",
        "told",
        "texts",
        "usage",
    )

    def __init__(self, event: StepEvent) -> None:
        self.lineage = event.lineage
        self.name = event.name
        self.kind: StepKind = event.kind
        self.parent = event.parent
        self.inputs = event.inputs
        self.after = event.after
        self.phase: StepPhase = event.phase
        self.submitted_s = event.time_s
        self.started_s: float | None = None
        self.ended_s: float | None = None
        self.asked = event.summary
        """What the Step was asked, in short."""
        self.told = ""
        """What came of it, in short: the result or the error."""
        self.texts: dict[int, str] = {}
        """Generated text by sequence, as far as it is kept."""
        self.num_tokens = 0
        self.num_retries = 0
        self.usage = Usage()

    @property
    def is_active(self) -> bool:
        return self.phase in ("submitted", "started", "retrying")

    def seconds(self, now_s: float) -> float:
        """How long it has run, or ran; 0 before it starts."""
        if self.started_s is None:
            return 0.0
        return (now_s if self.ended_s is None else self.ended_s) - self.started_s

    def apply(self, event: StepEvent) -> None:
        self.phase = event.phase
        if event.phase == "started" and self.started_s is None:
            self.started_s = event.time_s
            self.asked = event.summary or self.asked
        elif event.phase == "retrying":
            self.num_retries += 1
            self.texts.clear()
        if event.phase in ("finished", "failed", "cancelled"):
            self.ended_s = event.time_s
            self.told, self.usage = event.summary, event.usage
            self.num_tokens = event.usage.num_generated_tokens or self.num_tokens

    def add_text(self, event: TokenEvent, max_text: int | None) -> None:
        self.num_tokens += event.num_tokens
        text = self.texts.get(event.index, "") + event.text
        self.texts[event.index] = text if max_text is None else text[len(text) - max_text :]


class RunView:
    """Folds events, in order, into the Steps of a Run. Not thread-safe."""

    def __init__(self, *, max_text: int | None = None) -> None:
        """``max_text`` is how many characters of the end of each text are kept; ``None``: all."""
        self._max_text = max_text
        self.steps: dict[str, StepView] = {}
        """By lineage, in the order they were submitted."""
        self.children: dict[str, list[str]] = {}
        """Lineages by their parent's; those of the root under the empty string."""
        self.program = ""
        self.phase: Literal["started", "finished", "failed", "cancelled"] = "started"
        self.error = ""
        self.progress = ""
        self.result: ResultEvent | None = None
        self.last_s = 0.0
        """When the last event came."""

    @classmethod
    def of(cls, events: Iterable[Event]) -> Self:
        view = cls()
        for event in events:
            view.apply(event)
        return view

    @property
    def usage(self) -> Usage:
        """The sum over Steps. Its seconds are those of Steps that enclose no others."""
        total = Usage()
        for step in self.steps.values():
            used = step.usage
            total += Usage(
                num_prompt_tokens=used.num_prompt_tokens,
                num_cached_tokens=used.num_cached_tokens,
                num_generated_tokens=used.num_generated_tokens or step.num_tokens,
                num_requests=used.num_requests,
                num_tool_calls=used.num_tool_calls,
                seconds=0.0 if step.lineage in self.children else used.seconds,
            )
        return total

    def apply(self, event: Event) -> None:
        self.last_s = event.time_s
        match event:
            case StepEvent():
                self._apply_step(event)
            case TokenEvent():
                step = self.steps.get(event.lineage)
                if step is not None:
                    step.add_text(event, self._max_text)
            case RunEvent():
                self.program, self.phase, self.error = event.program, event.phase, event.error
            case ProgressEvent():
                self.progress = event.text
            case ResultEvent():
                self.result = event
            case _:
                pass

    def depth(self, lineage: str) -> int:
        """How many known Steps enclose this one."""
        depth = 0
        step = self.steps.get(self.steps[lineage].parent)
        while step is not None:
            depth += 1
            step = self.steps.get(step.parent)
        return depth

    def tree_order(self) -> list[str]:
        """Every lineage, each right before what it encloses, siblings as submitted."""
        order: list[str] = []
        stack = list(reversed(self.children.get("", [])))
        while stack:
            lineage = stack.pop()
            order.append(lineage)
            stack.extend(reversed(self.children.get(lineage, [])))
        return order

    def _apply_step(self, event: StepEvent) -> None:
        step = self.steps.get(event.lineage)
        if step is None:
            step = self.steps[event.lineage] = StepView(event)
            home = event.parent if event.parent in self.steps else ""
            self.children.setdefault(home, []).append(event.lineage)
        step.apply(event)

"""A Run in a few numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from weft.programs.dag import Node, build_dag, critical_path
from weft.runtime.observe.event import Event
from weft.runtime.observe.text import program_name
from weft.runtime.observe.usage import Usage
from weft.runtime.observe.view import RunView

__all__ = ["Summary", "summarise"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a Run took, as of its last event."""

    program: str
    phase: str
    num_steps: int
    num_failed_steps: int
    usage: Usage
    """The sum over Steps; its seconds are work, not elapsed time."""
    seconds: float
    """Elapsed, from start to the last event."""
    critical_path: tuple[str, ...]
    """Lineages of the chain of Steps, along data and control edges, that took longest."""
    critical_path_seconds: float

    def lines(self) -> list[str]:
        """For people."""
        usage = self.usage
        failed = f" ({self.num_failed_steps} failed)" if self.num_failed_steps else ""
        return [
            f"{program_name(self.program)} {self.phase} in {self.seconds:.1f} s",
            f"{self.num_steps} steps{failed}, {usage.num_requests} requests,"
            f" {usage.num_tool_calls} tool calls, {usage.seconds:.1f} s of work",
            f"{usage.num_generated_tokens} tokens generated from {usage.num_prompt_tokens} of"
            f" prompt, {usage.hit_rate:.0%} of it from shared KV",
            f"critical path {self.critical_path_seconds:.1f} s over"
            f" {len(self.critical_path)} steps",
        ]


def summarise(events: Iterable[Event]) -> Summary:
    """The totals of a Run's events."""
    view = RunView.of(events)
    path = critical_path(build_dag(_nodes(view)))
    return Summary(
        program=view.program,
        phase=view.phase,
        num_steps=len(view.steps),
        num_failed_steps=sum(step.phase == "failed" for step in view.steps.values()),
        usage=view.usage,
        seconds=view.last_s,
        critical_path=path.lineages,
        critical_path_seconds=path.length,
    )


def _nodes(view: RunView) -> Iterable[Node]:
    """The Steps as the DAG takes them; edges from Steps the events do not know are left out."""
    for step in view.steps.values():
        yield Node(
            lineage=step.lineage,
            name=step.name,
            kind=step.kind,
            parent=step.parent,
            inputs=tuple(one for one in step.inputs if one in view.steps),
            after=tuple(one for one in step.after if one in view.steps),
            phase=step.phase,
            seconds=step.seconds(view.last_s),
            num_tokens=step.num_tokens,
        )

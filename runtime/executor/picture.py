"""From a Run's events to the nodes of its DAG."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from weft.programs.dag import Node
from weft.runtime.observe.event import Event, StepEvent

__all__ = ["nodes_of"]


def nodes_of(events: Iterable[Event]) -> Iterator[Node]:
    """One node per Step, in the order of submission, as of the last event."""
    nodes: dict[str, Node] = {}
    started: dict[str, float] = {}
    for event in events:
        if isinstance(event, StepEvent):
            nodes[event.lineage] = _grown(nodes.get(event.lineage), event, started)
    yield from nodes.values()


def _grown(node: Node | None, event: StepEvent, started: dict[str, float]) -> Node:
    if node is None:
        return Node(
            lineage=event.lineage,
            name=event.name,
            kind=event.kind,
            parent=event.parent,
            inputs=event.inputs,
            after=event.after,
            phase=event.phase,
        )
    if event.phase == "started":
        started[event.lineage] = event.time_s
    begun_s = started.get(event.lineage, event.time_s)
    return replace(
        node,
        phase=event.phase,
        seconds=event.time_s - begun_s,
        num_tokens=event.usage.num_generated_tokens,
    )

"""The DAG of a Run, planned or executed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import networkx as nx

from weft.errors import InvalidRequest
from weft.programs.handle import StepKind

__all__ = ["CriticalPath", "Node", "build_dag", "critical_path", "from_node_link", "to_node_link"]

Phase = Literal["planned", "submitted", "started", "retrying", "finished", "failed", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One Step as the DAG shows it. Its fields are the attributes of the graph's node."""

    lineage: str
    name: str
    kind: StepKind
    parent: str = ""
    """Lineage of the enclosing Step; empty for the root."""
    inputs: tuple[str, ...] = ()
    """Data edges: Steps whose results it takes."""
    after: tuple[str, ...] = ()
    """Control edges: Steps whose results the code had read before it submitted this one."""
    phase: Phase = "planned"
    seconds: float = 0.0
    """From started to ended."""
    num_tokens: int = 0
    """Generated tokens."""


def build_dag(nodes: Iterable[Node]) -> nx.DiGraph[str]:
    """A graph with a node per Step, keyed by lineage, and edges with ``kind`` data or control.

    Enclosing programs are nodes without edges to their children: ``parent`` says who they are.
    """
    graph: nx.DiGraph[str] = nx.DiGraph()
    known = list(nodes)
    for node in known:
        graph.add_node(node.lineage, **asdict(node))
    for node in known:
        for source in node.after:
            graph.add_edge(source, node.lineage, kind="control")
        for source in node.inputs:
            graph.add_edge(source, node.lineage, kind="data")
    return graph


class CriticalPath(NamedTuple):
    """The chain of Steps that decided how long the Run took."""

    lineages: tuple[str, ...]
    length: float


def critical_path(graph: nx.DiGraph[str], weight: str = "seconds") -> CriticalPath:
    """The heaviest path along data and control edges; ``weight`` is a node attribute.

    Only Steps that enclose no others count: what an enclosing one takes is its children's.
    Among equal paths the one that is first in the order of the graph. Raises InvalidRequest when
    the graph has a cycle.
    """
    if not nx.is_directed_acyclic_graph(graph):
        raise InvalidRequest("The graph has a cycle.", remedy="Give a DAG.")
    enclosing = {str(graph.nodes[one].get("parent", "")) for one in graph}
    best: dict[str, float] = {}
    came_from: dict[str, str | None] = {}
    for one in nx.topological_sort(graph):
        before = max(graph.predecessors(one), key=lambda source: best[source], default=None)
        own = 0.0 if one in enclosing else float(graph.nodes[one].get(weight, 0.0))
        best[one] = own + (best[before] if before is not None else 0.0)
        came_from[one] = before
    if not best:
        return CriticalPath((), 0.0)
    last = max(best, key=lambda one: best[one])
    return CriticalPath(_walk(last, came_from, enclosing), best[last])


def _walk(
    last: str, came_from: Mapping[str, str | None], enclosing: set[str]
) -> tuple[str, ...]:
    path: list[str] = []
    one: str | None = last
    while one is not None:
        if one not in enclosing:
            path.append(one)
        one = came_from[one]
    return tuple(reversed(path))


def to_node_link(graph: nx.DiGraph[str]) -> dict[str, Any]:
    """The graph as JSON-shaped data in networkx's node-link form."""
    data: dict[str, Any] = nx.node_link_data(graph, edges="edges")
    return data


def from_node_link(data: Mapping[str, Any]) -> nx.DiGraph[str]:
    """A graph from node-link data, with every attribute of Node filled in and checked.

    Raises InvalidRequest for data of another form, or with a cycle.
    """
    try:
        read: nx.DiGraph[str] = nx.node_link_graph(dict(data), directed=True, edges="edges")
        nodes = [_node(str(one), read.nodes[one]) for one in read]
        graph = build_dag(nodes)
        graph.add_edges_from(read.edges(data=True))
    except (KeyError, TypeError, ValueError, nx.NetworkXError) as error:
        raise InvalidRequest(
            f"The data is no node-link graph of Steps: {error!r}.",
            remedy="Give what to_node_link returns.",
        ) from error
    if not nx.is_directed_acyclic_graph(graph):
        raise InvalidRequest("The graph has a cycle.", remedy="Give a DAG.")
    return graph


def _node(lineage: str, attributes: Mapping[str, Any]) -> Node:
    given = {key: value for key, value in attributes.items() if key != "lineage"}
    for key in ("inputs", "after"):
        given[key] = tuple(given.get(key, ()))
    given.setdefault("name", lineage.rsplit("/", 1)[-1])
    given.setdefault("kind", "step")
    return Node(lineage=lineage, **given)

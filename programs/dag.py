"""The DAG of a Run, planned or executed."""

from __future__ import annotations

from collections import defaultdict
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

    A Step that encloses others weighs what the heaviest path of its children weighs, and stands
    for it in the path. Among equal paths the first in the order of the graph wins. Raises
    InvalidRequest when the graph has a cycle.
    """
    if not nx.is_directed_acyclic_graph(graph):
        raise InvalidRequest("The graph has a cycle.", remedy="Give a DAG.")
    levels: dict[str, nx.DiGraph[str]] = defaultdict(nx.DiGraph)
    for one in graph:
        levels[_parent(graph, one)].add_node(one)
    for source, target in graph.edges:
        _add_lifted(graph, source, target, levels)
    return _heaviest(graph, "", levels, weight)


def _parent(graph: nx.DiGraph[str], one: str) -> str:
    """The enclosing Step if the graph has it, else nothing."""
    parent = str(graph.nodes[one].get("parent", ""))
    return parent if parent in graph else ""


def _add_lifted(
    graph: nx.DiGraph[str], source: str, target: str, levels: Mapping[str, nx.DiGraph[str]]
) -> None:
    """Add an edge where both ends, or what encloses them, are siblings."""
    above: dict[str, str] = {}
    one = source
    while one:
        above[_parent(graph, one)] = one
        one = _parent(graph, one)
    one = target
    while one:
        parent = _parent(graph, one)
        if parent in above:
            if above[parent] != one:
                levels[parent].add_edge(above[parent], one)
            return
        one = parent


def _heaviest(
    graph: nx.DiGraph[str], parent: str, levels: Mapping[str, nx.DiGraph[str]], weight: str
) -> CriticalPath:
    level = levels[parent]
    best: dict[str, CriticalPath] = {}
    for one in nx.topological_sort(level):
        if one in levels:
            own = _heaviest(graph, one, levels, weight)
        else:
            own = CriticalPath((one,), float(graph.nodes[one].get(weight, 0.0)))
        before = [best[source] for source in level.predecessors(one)]
        start = max(before, key=lambda path: path.length, default=CriticalPath((), 0.0))
        best[one] = CriticalPath(start.lineages + own.lineages, start.length + own.length)
    return max(best.values(), key=lambda path: path.length, default=CriticalPath((), 0.0))


def to_node_link(graph: nx.DiGraph[str]) -> dict[str, Any]:
    """The graph as JSON-shaped data in networkx's node-link form."""
    nodes = [{"id": one, **graph.nodes[one]} for one in graph]
    edges = [
        {"source": source, "target": target, **attributes}
        for source, target, attributes in graph.edges(data=True)
    ]
    return {"directed": True, "multigraph": False, "graph": {}, "nodes": nodes, "edges": edges}


def from_node_link(data: Mapping[str, Any]) -> nx.DiGraph[str]:
    """A graph from node-link data, with every attribute of Node filled in.

    Raises InvalidRequest for data of another form, for edges to nowhere, and for a cycle.
    """
    try:
        nodes = [_node(attributes) for attributes in data["nodes"]]
        graph = build_dag(nodes)
        for edge in data["edges"]:
            graph.add_edge(edge["source"], edge["target"], kind=edge.get("kind", "data"))
    except (AttributeError, KeyError, TypeError) as error:
        raise InvalidRequest(
            f"The data is no node-link graph of Steps: {error!r}.",
            remedy="Give what to_node_link returns.",
        ) from error
    if set(graph) != {node.lineage for node in nodes}:
        raise InvalidRequest("An edge leads to an unknown node.", remedy="List it under nodes.")
    if not nx.is_directed_acyclic_graph(graph):
        raise InvalidRequest("The graph has a cycle.", remedy="Give a DAG.")
    return graph


def _node(attributes: Mapping[str, Any]) -> Node:
    lineage = str(attributes["id"])
    given = {key: value for key, value in attributes.items() if key not in ("id", "lineage")}
    for key in ("inputs", "after"):
        given[key] = tuple(given.get(key, ()))
    given.setdefault("name", lineage.rsplit("/", 1)[-1])
    given.setdefault("kind", "step")
    return Node(lineage=lineage, **given)

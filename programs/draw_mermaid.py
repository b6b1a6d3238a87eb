"""A DAG as mermaid text."""

from __future__ import annotations

from collections import defaultdict

import networkx as nx

__all__ = ["draw_mermaid"]

SHAPES = {
    "program": ("[[", "]]"),
    "gen": ("(", ")"),
    "tool": ("[/", "/]"),
    "verifier": ("{{", "}}"),
    "step": ("[", "]"),
}


def draw_mermaid(graph: nx.DiGraph[str]) -> str:
    """A flowchart: solid edges carry data, dotted ones order; enclosing Steps are subgraphs."""
    ids = {one: f"s{index}" for index, one in enumerate(graph)}
    children: dict[str, list[str]] = defaultdict(list)
    for one in graph:
        parent = str(graph.nodes[one].get("parent", ""))
        children[parent if parent in ids else ""].append(one)
    lines = ["flowchart TD"]
    _add_boxes(graph, "", children, ids, lines, "    ")
    for source, target, attributes in graph.edges(data=True):
        arrow = "-->" if attributes.get("kind") == "data" else "-.->"
        lines.append(f"    {ids[source]} {arrow} {ids[target]}")
    return "\n".join(lines) + "\n"


def _add_boxes(
    graph: nx.DiGraph[str],
    parent: str,
    children: dict[str, list[str]],
    ids: dict[str, str],
    lines: list[str],
    indent: str,
) -> None:
    for one in children.get(parent, ()):
        label = _escaped(one.rsplit("/", 1)[-1])
        if one in children:
            lines.append(f'{indent}subgraph {ids[one]}["{label}"]')
            _add_boxes(graph, one, children, ids, lines, indent + "    ")
            lines.append(f"{indent}end")
        else:
            left, right = SHAPES.get(str(graph.nodes[one].get("kind")), SHAPES["step"])
            lines.append(f'{indent}{ids[one]}{left}"{label}"{right}')


def _escaped(text: str) -> str:
    """Mermaid reads ``#name;`` as an entity, and quotes end a label."""
    return text.replace("#", "#35;").replace('"', "#quot;").replace("<", "#lt;")

"""A DAG as a stand-alone SVG picture."""

from __future__ import annotations

from html import escape
from typing import NamedTuple

import networkx as nx

from weft.programs.dag import critical_path

__all__ = ["draw_svg"]

BOX_WIDTH = 168
BOX_HEIGHT = 44
GAP_X = 28
GAP_Y = 36
MARGIN = 16
MAX_LABEL = 22
"""Characters of a label that fit a box; the rest is in the tooltip."""

FILLS = {
    "planned": "#f3f4f6",
    "submitted": "#e5e7eb",
    "started": "#dbeafe",
    "retrying": "#fef3c7",
    "finished": "#dcfce7",
    "failed": "#fee2e2",
    "cancelled": "#e5e7eb",
}


class _Place(NamedTuple):
    x: int
    y: int


def draw_svg(graph: nx.DiGraph[str]) -> str:
    """Steps in layers, data edges solid, control edges dashed, the critical path bold.

    Enclosing Steps are left out: their children are drawn.
    """
    enclosing = {str(graph.nodes[one].get("parent", "")) for one in graph}
    shown: nx.DiGraph[str] = graph.subgraph([one for one in graph if one not in enclosing]).copy()
    places = _places(shown)
    path = critical_path(graph).lineages
    width = max((place.x for place in places.values()), default=0) + BOX_WIDTH + MARGIN
    height = max((place.y for place in places.values()), default=0) + BOX_HEIGHT + MARGIN
    steps = set(zip(path, path[1:], strict=False))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="12">'
    ]
    for source, target, attributes in shown.edges(data=True):
        is_data = attributes.get("kind") == "data"
        parts.append(_edge(places[source], places[target], is_data, (source, target) in steps))
    parts += [_box(shown, one, places[one], one in path) for one in shown]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _places(graph: nx.DiGraph[str]) -> dict[str, _Place]:
    """Layer by longest distance from a source; within a layer in order of submission."""
    layer: dict[str, int] = {}
    for one in nx.topological_sort(graph):
        layer[one] = max((layer[source] + 1 for source in graph.predecessors(one)), default=0)
    num_in_layer: dict[int, int] = {}
    places: dict[str, _Place] = {}
    for one in graph:
        column = num_in_layer.get(layer[one], 0)
        num_in_layer[layer[one]] = column + 1
        x = MARGIN + column * (BOX_WIDTH + GAP_X)
        places[one] = _Place(x, MARGIN + layer[one] * (BOX_HEIGHT + GAP_Y))
    return places


def _edge(source: _Place, target: _Place, is_data: bool, is_critical: bool) -> str:
    x1, y1 = source.x + BOX_WIDTH // 2, source.y + BOX_HEIGHT
    x2, y2 = target.x + BOX_WIDTH // 2, target.y
    dash = "" if is_data else ' stroke-dasharray="4 3"'
    colour, size = ("#b45309", 2.5) if is_critical else ("#6b7280", 1.2)
    bend = (y1 + y2) // 2
    return (
        f'<path d="M{x1} {y1} C{x1} {bend} {x2} {bend} {x2} {y2}" fill="none" '
        f'stroke="{colour}" stroke-width="{size}"{dash}/>'
    )


def _box(graph: nx.DiGraph[str], one: str, place: _Place, is_critical: bool) -> str:
    node = graph.nodes[one]
    label = one.rsplit("/", 1)[-1]
    label = label if len(label) <= MAX_LABEL else label[: MAX_LABEL - 1] + "…"
    fact = f"{node.get('kind', '')} {float(node.get('seconds', 0.0)):.2f} s"
    stroke, size = ("#b45309", 2.5) if is_critical else ("#6b7280", 1)
    fill = FILLS.get(str(node.get("phase")), "#ffffff")
    x, y = place.x + 10, place.y + 19
    return (
        f'<g><title>{escape(one)}</title><rect x="{place.x}" y="{place.y}" width="{BOX_WIDTH}" '
        f'height="{BOX_HEIGHT}" rx="6" fill="{fill}" stroke="{stroke}" stroke-width="{size}"/>'
        f'<text x="{x}" y="{y}">{escape(label)}</text>'
        f'<text x="{x}" y="{y + 16}" fill="#6b7280">{escape(fact)}</text></g>'
    )

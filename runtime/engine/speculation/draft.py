"""A draft: guesses at a sequence's next tokens, as a tree below its last token.

Shapes: N nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["MAX_NODES", "ROOT", "Draft", "Node"]

MAX_NODES = 32
"""A node's ancestors are bits of one 64-bit word."""
ROOT = -1
"""Stands for the sequence's last token where a node is asked for."""


class Node(NamedTuple):
    """One guess, given that those above it come true."""

    token_id: int
    parent: int
    """Number of the node it follows, or ROOT."""
    depth: int
    """Its distance from the sequence's last token, 1 for the first guesses."""
    chance: float
    """How likely it and all above it come true."""
    kind: int
    """What it rests on: see ``HitRates``."""


class Draft:
    """Nodes, parents before children and likelier ones first, until ``lay_out`` puts what belongs
    together side by side. Only ``add``, ``cut`` and ``lay_out`` change it."""

    __slots__ = ("_places", "nodes")

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._places: dict[tuple[int, int], int] = {}

    def __len__(self) -> int:
        return len(self.nodes)

    def add(self, node: Node) -> int:
        """Append a node, no likelier than those before it; returns its number."""
        number = len(self.nodes)
        self.nodes.append(node)
        self._places[node.parent, node.token_id] = number
        return number

    def cut(self, num_nodes: int) -> None:
        """Keep the likeliest nodes."""
        for node in self.nodes[num_nodes:]:
            del self._places[node.parent, node.token_id]
        del self.nodes[num_nodes:]

    def child(self, parent: int, token_id: int) -> int | None:
        """The node that guesses ``token_id`` after ``parent``, if there is one."""
        return self._places.get((parent, token_id))

    def first_child(self, parent: int) -> Node | None:
        """The likeliest guess after ``parent``, once the draft is laid out."""
        number = parent + 1
        is_there = number < len(self.nodes) and self.nodes[number].parent == parent
        return self.nodes[number] if is_there else None

    def path(self, node: int) -> list[int]:
        """The nodes from the top down to this one; none for ROOT."""
        found: list[int] = []
        while node != ROOT:
            found.append(node)
            node = self.nodes[node].parent
        return found[::-1]

    @property
    def is_chain(self) -> bool:
        """Each node follows the one before it: there is one guess per place."""
        return not self.nodes or self.nodes[-1].depth == len(self.nodes)

    def lay_out(self) -> None:
        """Number the nodes depth first: each node's likeliest child comes right after it."""
        if self.is_chain:
            return
        order = _depth_first([node.parent for node in self.nodes])
        numbers = {old: new for new, old in enumerate(order)} | {ROOT: ROOT}
        nodes, self.nodes, self._places = self.nodes, [], {}
        for old in order:
            self.add(nodes[old]._replace(parent=numbers[nodes[old].parent]))

    def depths_N(self) -> npt.NDArray[np.int64]:
        """For each node how many tokens it is ahead of the sequence's last."""
        return np.array([node.depth for node in self.nodes], np.int64)

    def masks_N(self) -> npt.NDArray[np.uint64]:
        """For each node the set of its ancestors and itself, bit j for node j."""
        masks: list[int] = []
        for number, node in enumerate(self.nodes):
            above = 0 if node.parent == ROOT else masks[node.parent]
            masks.append(above | 1 << number)
        return np.array(masks, np.uint64)


def _depth_first(parents: Sequence[int]) -> list[int]:
    children: dict[int, list[int]] = {}
    for number, parent in enumerate(parents):
        children.setdefault(parent, []).append(number)
    order: list[int] = []
    stack = children.get(ROOT, [])[::-1]
    while stack:
        number = stack.pop()
        order.append(number)
        stack += children.get(number, [])[::-1]
    return order

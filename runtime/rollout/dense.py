"""A token tree as arrays: all of its tokens in one row, for one forward with an explicit mask.

The tokens of a node lie side by side, nodes in their order, so what a token sees lies before it.

Shapes: T tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from weft.programs.token_tree import TokenTree

__all__ = ["DenseTree", "dense", "distances", "visibility"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DenseTree:
    """What is known of every token."""

    tokens_T: Ints
    nodes_T: Ints
    """The number of its node."""
    previous_T: Ints
    """The token whose logits predict it; -1 where there is none: at a beginning or behind a
    join."""
    weights_T: Ints
    """How many sequences drew it; 0: it was given."""
    logprobs_T: Floats
    """When it was drawn, from the raw logits; NaN where that is not known."""
    behaviours_T: Floats
    """As ``logprobs_T``, under the distribution that was really drawn from."""
    positions_T: Ints | None
    """None: branches were joined as ``rotated``, so tokens stand elsewhere for those behind the
    join. No position for each says it; ``distances`` does."""
    entries_T: Ints | None
    """With ``exits_T`` all that a mask needs where no branches are joined: token i is seen from j
    when ``entries[i] <= entries[j] <= exits[i]``. None: some are."""
    exits_T: Ints | None


def dense(tree: TokenTree) -> DenseTree:
    """The tree in one row."""
    entries_T, exits_T = (None, None) if tree.has_joins else _times(tree)
    return DenseTree(
        tokens_T=np.array([token for node in tree.nodes for token in node.tokens], np.int64),
        nodes_T=_spread(tree, range(len(tree.nodes))),
        previous_T=_previous(tree),
        weights_T=_spread(tree, [len(node.sources) for node in tree.nodes]),
        logprobs_T=_known(tree, [node.logprobs for node in tree.nodes]),
        behaviours_T=_known(tree, [node.behaviours for node in tree.nodes]),
        positions_T=None if tree.has_turns else _spread(tree, tree.starts()) + _places(tree),
        entries_T=entries_T,
        exits_T=exits_T,
    )


def visibility(tree: TokenTree) -> Bools:
    """[T, T]: the row's token sees the column's. A token sees itself."""
    firsts = _firsts(tree)
    is_seen_TT = np.zeros((tree.num_tokens, tree.num_tokens), np.bool_)
    for number in range(len(tree.nodes)):
        rows = slice(firsts[number], firsts[number + 1])
        for seen in tree.ancestors(number):
            is_seen_TT[rows, firsts[seen] : firsts[seen + 1]] = True
        length = len(tree.nodes[number].tokens)
        is_seen_TT[rows, rows] = np.tri(length, dtype=np.bool_)
    return is_seen_TT


def distances(tree: TokenTree) -> Ints:
    """[T, T]: by how many positions the row's token stands behind the column's; 0 where it does
    not see it. True for every tree, turns and all."""
    firsts, lengths = _firsts(tree), [len(node.tokens) for node in tree.nodes]
    distances_TT = np.zeros((tree.num_tokens, tree.num_tokens), np.int64)
    for number, frame in enumerate(tree.frames()):
        rows = slice(firsts[number], firsts[number + 1])
        positions = frame.end + np.arange(lengths[number])[:, None]
        for seen, start in frame.starts.items():
            columns = slice(firsts[seen], firsts[seen + 1])
            distances_TT[rows, columns] = positions - (start + np.arange(lengths[seen]))
        distances_TT[rows, rows] = np.maximum(positions - positions.T, 0)
    return distances_TT


def _firsts(tree: TokenTree) -> list[int]:
    """Where every node begins in the row; the last entry is the row's length."""
    return list(accumulate((len(node.tokens) for node in tree.nodes), initial=0))


def _spread(tree: TokenTree, values: Sequence[int]) -> Ints:
    """Every node's value for each of its tokens."""
    lengths = [len(node.tokens) for node in tree.nodes]
    return np.repeat(np.array(values, np.int64), lengths)


def _places(tree: TokenTree) -> Ints:
    """Of every token, its place in its node."""
    return np.arange(tree.num_tokens) - _spread(tree, _firsts(tree)[:-1])


def _previous(tree: TokenTree) -> Ints:
    firsts = _firsts(tree)
    previous_T = np.arange(-1, tree.num_tokens - 1)
    for node, first in zip(tree.nodes, firsts, strict=False):
        previous_T[first] = firsts[node.parents[0] + 1] - 1 if len(node.parents) == 1 else -1
    return previous_T


def _known(tree: TokenTree, values: Sequence[tuple[float, ...]]) -> Floats:
    rows = zip(tree.nodes, values, strict=True)
    return np.array([v for node, row in rows for v in row or (np.nan,) * len(node.tokens)])


def _times(tree: TokenTree) -> tuple[Ints, Ints]:
    """When a walk through all nodes, depth first, enters each token, and when it has left all that
    descends from it."""
    children: list[list[int]] = [[] for _ in tree.nodes]
    for number, node in enumerate(tree.nodes):
        for parent in node.parents:
            children[parent].append(number)
    entries = np.zeros(len(tree.nodes), np.int64)
    sizes = np.array([len(node.tokens) for node in tree.nodes], np.int64)
    for number in reversed(range(len(tree.nodes))):
        sizes[number] += sum(int(sizes[child]) for child in children[number])
    clock = 0
    stack = [number for number, node in enumerate(tree.nodes) if not node.parents][::-1]
    while stack:
        number = stack.pop()
        entries[number] = clock
        clock += len(tree.nodes[number].tokens)
        stack += reversed(children[number])
    entries_T = _spread(tree, entries.tolist()) + _places(tree)
    return entries_T, _spread(tree, (entries + sizes - 1).tolist())

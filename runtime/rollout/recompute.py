"""The log-probabilities of a token tree, computed again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from weft.errors import InvalidRequest
from weft.programs.past import Past
from weft.programs.token_tree import TokenTree
from weft.runtime.engine.protocol import Engine

__all__ = ["recompute"]

Floats = npt.NDArray[np.float64]


async def recompute(tree: TokenTree, engine: Engine) -> Floats:
    """[T]: the log-probability of every token that was generated, from the raw logits, natural log,
    as ``dense`` lays the tokens out; NaN for those that were given.

    Each branch is a request of its own, all at once; what they have in common is computed once.

    Raises: InvalidRequest when the tree is not recomputable, and what ``Engine.score`` raises.
    """
    if not tree.is_recomputable:
        raise InvalidRequest(
            f"The log-probabilities of this tree cannot be computed again: {tree.why_not}",
            remedy="Train on what can be: branches, forks and joins.",
        )
    rows = list(_rows(tree))
    scorings = [asyncio.ensure_future(_score(row, engine)) for row in rows]
    logprobs_T = np.full(tree.num_tokens, np.nan)
    try:
        for row, scores in zip(rows, await asyncio.gather(*scorings), strict=True):
            logprobs_T[list(row.places)] = scores
    finally:
        for scoring in scorings:
            scoring.cancel()
    given = np.repeat(
        [not node.is_generated for node in tree.nodes], [len(node.tokens) for node in tree.nodes]
    )
    logprobs_T[given] = np.nan
    return logprobs_T


class _Row(NamedTuple):
    """A line of tokens to be scored from some token on."""

    past: Past | None
    prompt: tuple[int, ...]
    target: tuple[int, ...]
    places: tuple[int, ...]
    """Of the target's tokens, in the row of all tokens."""


async def _score(row: _Row, engine: Engine) -> tuple[float, ...]:
    return await engine.score(row.prompt, row.target, past=row.past)


def _rows(tree: TokenTree) -> Iterator[_Row]:
    """Lines that hold every generated node, as few as there are ends."""
    ends = np.cumsum([len(node.tokens) for node in tree.nodes]).tolist()
    is_held = [not node.is_generated for node in tree.nodes]
    for number in reversed(range(len(tree.nodes))):
        if is_held[number]:
            continue
        past, line = tree.branch(number)
        cut = next(at for at, node in enumerate(line) if not is_held[node])
        for node in line[cut:]:
            is_held[node] = True
        yield _Row(
            past,
            tuple(token for node in line[:cut] for token in tree.nodes[node].tokens),
            tuple(token for node in line[cut:] for token in tree.nodes[node].tokens),
            tuple(
                place
                for node in line[cut:]
                for place in range(ends[node] - len(tree.nodes[node].tokens), ends[node])
            ),
        )

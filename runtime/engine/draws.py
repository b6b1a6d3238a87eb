"""What is drawn in a Tick: after a sequence's last token, and after every guess behind it."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from typing import NamedTuple

from weft.runtime.engine.sampling import SamplingRow
from weft.runtime.engine.sequence import Sequence
from weft.runtime.engine.speculation import Draft
from weft.runtime.grammar import Matcher

__all__ = ["Draw", "matchers", "sampling_rows", "wanted_logits"]


class Draw(NamedTuple):
    """A sequence whose next token is drawn, and the rows of logits for it."""

    sequence: Sequence
    row: int
    """Of its last token; those of its guesses follow in order."""
    draft: Draft | None = None

    @property
    def num_rows(self) -> int:
        return 1 if self.draft is None else 1 + len(self.draft)


def wanted_logits(draws: Seq[Draw]) -> list[int]:
    """The row of logits of each row to draw."""
    found: list[int] = []
    for draw in draws:
        found.append(draw.row)
        if draw.draft is not None:
            found += range(draw.row + 1, draw.row + draw.num_rows)
    return found


def matchers(draws: Seq[Draw]) -> list[Matcher | None]:
    """Where each row to draw stands in its grammar."""
    found: list[Matcher | None] = []
    for draw in draws:
        found.append(draw.sequence.matcher)
        if draw.draft is not None:
            found += [node.matcher for node in draw.draft.nodes]
    return found


def sampling_rows(draws: Seq[Draw]) -> list[SamplingRow]:
    """How to draw each row: a guess's as it will be if all above it come true."""
    found: list[SamplingRow] = []
    for draw in draws:
        first = len(found) + 1
        found.append(draw.sequence.row)
        if draw.draft is not None:
            for node in draw.draft.nodes:
                found.append(found[first + node.parent].ahead(node.token_id))
    return found

"""What is drawn in a Tick: after a sequence's last token, and after every guess behind it."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from typing import NamedTuple

from weft.runtime.engine.sampling import SamplingRow
from weft.runtime.engine.sequence import Sequence
from weft.runtime.engine.speculation import Draft

__all__ = ["Draw", "sampling_rows", "wanted_logits"]


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
    for _, row, draft in draws:
        found.append(row)
        if draft is not None:
            found += range(row + 1, row + 1 + len(draft))
    return found


def sampling_rows(draws: Seq[Draw]) -> list[SamplingRow]:
    """How to draw each row: a guess's as it will be if all above it come true."""
    found: list[SamplingRow] = []
    for sequence, _, draft in draws:
        first = len(found) + 1
        found.append(sequence.row)
        if draft is not None:
            if sequence.row.is_likeliest:
                found += [sequence.row] * len(draft)
                continue
            for node in draft.nodes:
                found.append(found[first + node.parent].ahead(node.token_id))
    return found

"""A fork and its join: what is asked, and what it took."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import NamedTuple

from weft.runtime.bench.workload import FIRST_TOKEN, LAST_TOKEN

__all__ = ["Fork", "Took"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """What every contender is asked to do. Branches, and then the join, write the same number of
    tokens behind a head of their own."""

    context_tokens: int
    num_branches: int = 8
    head_tokens: int = 4
    num_tokens: int

    def prompts(self, *call: object) -> dict[str, object]:
        """Token ids of one call: equal for equal ``call``, else nothing in common, so that nobody
        knows the context. Heads differ in their first token."""
        draw = random.Random(repr(call))
        numbers = range(FIRST_TOKEN, LAST_TOKEN + 1)
        firsts = draw.sample(numbers, self.num_branches + 1)
        heads = [[first, *draw.choices(numbers, k=self.head_tokens - 1)] for first in firsts]
        return {
            "context": draw.choices(numbers, k=self.context_tokens),
            "heads": heads[:-1],
            "join_head": heads[-1],
            "num_tokens": self.num_tokens,
        }


class Took(NamedTuple):
    """One fork and its join."""

    branches_s: float
    """Until the last branch has ended."""
    join_s: float
    """From then until the join has ended."""
    tokens: list[list[int]]
    """What each branch said, and then the join."""

    @property
    def total_s(self) -> float:
        return self.branches_s + self.join_s

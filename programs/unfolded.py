"""What an answer with parallel regions was made of, and what it would have taken alone."""

from __future__ import annotations

from dataclasses import dataclass
from graphlib import TopologicalSorter

from weft.programs.context import Context

__all__ = ["BranchRun", "RegionRun", "Unfolded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchRun:
    """One branch of a region as it was written."""

    number: int
    title: str
    needs: tuple[int, ...]
    """Numbers of the branches whose text it saw."""
    text: str
    """What was written between its head and its tail; all of it, even where less returned."""
    num_tokens: int
    """Drawn for it, in the regions inside it as well."""
    num_critical: int
    """Of these, the ones that no other stream could draw at the same time."""
    regions: tuple[RegionRun, ...]
    """Inside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionRun:
    """One region: branches in the order of the plan."""

    branches: tuple[BranchRun, ...]

    @property
    def num_tokens(self) -> int:
        return sum(branch.num_tokens for branch in self.branches)

    @property
    def num_critical(self) -> int:
        """Tokens of the longest path of branches of which each needs the one before it."""
        branches = {branch.number: branch for branch in self.branches}
        needs = {number: branch.needs for number, branch in branches.items()}
        ends: dict[int, int] = {}
        for number in TopologicalSorter(needs).static_order():
            start = max((ends[need] for need in needs[number]), default=0)
            ends[number] = start + branches[number].num_critical
        return max(ends.values(), default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfolded:
    """An answer with its regions. Tokens that were given rather than drawn (heads, joins) do not
    count."""

    text: str
    """The answer as one stream would have written it: branches in the order of the plan."""
    context: Context
    """To go on from. It holds Steps, so that it is no data that a program could return."""
    regions: tuple[RegionRun, ...]
    num_tokens: int
    """Drawn by all streams."""
    num_critical: int
    """Drawn outside of regions, and on the longest path through each of them."""

    @property
    def acceleration(self) -> float:
        """The share of tokens that cost no time of their own: 0 for a single stream
        (ThreadWeaver)."""
        return 1 - self.num_critical / self.num_tokens if self.num_tokens else 0.0

"""Measuring contenders in turns, so that a change of the machine's mood meets all of them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

from weft.errors import InvalidRequest

__all__ = ["interleave", "median_ratio"]


def interleave(
    names: Sequence[str],
    measure: Callable[[str, int], float],
    *,
    num_rounds: int,
    may_go_on: Callable[[], bool] = lambda: True,
) -> dict[str, list[float]]:
    """Call ``measure(name, round)`` for every name in every round; values by name, by round.

    Every other round goes backwards, so that none is always first. Before each round but the
    first ``may_go_on`` is asked; a round is never left half done.
    """
    values: dict[str, list[float]] = {name: [] for name in names}
    for number in range(num_rounds):
        if number and not may_go_on():
            break
        for name in names if number % 2 == 0 else reversed(names):
            values[name].append(measure(name, number))
    return values


def median_ratio(values: Mapping[str, Sequence[float]], ours: str, theirs: str) -> float:
    """The median over rounds of ours divided by theirs of the same round."""
    pairs = list(zip(values[ours], values[theirs], strict=True))
    if not pairs:
        raise InvalidRequest(f"{ours!r} and {theirs!r} have no round in common.")
    return statistics.median(mine / other for mine, other in pairs)

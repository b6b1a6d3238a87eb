"""Measuring contenders in turns, so that a change of the machine's mood meets all of them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from weft.errors import InvalidRequest

__all__ = ["interleave", "interleave_items", "median_ratio"]


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


def interleave_items(
    names: Sequence[str],
    measure: Callable[[str, int, int], float],
    *,
    num_items: int,
    num_rounds: int,
    may_go_on: Callable[[], bool] = lambda: True,
) -> dict[str, list[float]]:
    """The same for rounds of many short items: the names take turns item by item, with
    ``measure(name, round, item)``, and a round's value is the sum over its items."""
    values: dict[str, list[float]] = {name: [] for name in names}
    for number in range(num_rounds):
        if number and not may_go_on():
            break
        found = interleave(names, partial(_of_round, measure, number), num_rounds=num_items)
        for name in names:
            values[name].append(sum(found[name]))
    return values


def _of_round(
    measure: Callable[[str, int, int], float], number: int, name: str, item: int
) -> float:
    return measure(name, number, item)


def median_ratio(values: Mapping[str, Sequence[float]], ours: str, theirs: str) -> float:
    """The median over rounds of ours divided by theirs of the same round."""
    pairs = list(zip(values[ours], values[theirs], strict=True))
    if not pairs:
        raise InvalidRequest(f"{ours!r} and {theirs!r} have no round in common.")
    return statistics.median(mine / other for mine, other in pairs)

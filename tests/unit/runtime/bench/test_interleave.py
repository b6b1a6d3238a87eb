"""Turns and medians."""

from __future__ import annotations

import pytest

from weft.errors import InvalidRequest
from weft.runtime.bench.interleave import interleave, interleave_items, median_ratio


def test_every_round_measures_everyone_and_turns_round() -> None:
    calls: list[tuple[str, int]] = []

    def measure(name: str, number: int) -> float:
        calls.append((name, number))
        return float(len(calls))

    values = interleave(["a", "b"], measure, num_rounds=3)
    assert calls == [("a", 0), ("b", 0), ("b", 1), ("a", 1), ("a", 2), ("b", 2)]
    assert values == {"a": [1.0, 4.0, 5.0], "b": [2.0, 3.0, 6.0]}


def test_no_round_starts_when_time_is_up_but_the_first_always_does() -> None:
    values = interleave(["a"], lambda name, number: 1.0, num_rounds=5, may_go_on=lambda: False)
    assert values == {"a": [1.0]}


def test_ratio_pairs_values_of_one_round() -> None:
    # A machine that turns three times slower in the second round leaves the ratio alone.
    values = {"weft": [30.0, 10.0, 33.0], "peer": [10.0, 3.0, 11.0]}
    assert median_ratio(values, "weft", "peer") == 3.0


def test_ratio_takes_the_median_not_the_mean() -> None:
    assert median_ratio({"a": [1.0, 2.0, 90.0], "b": [1.0, 1.0, 1.0]}, "a", "b") == 2.0


def test_ratio_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="no round in common"):
        median_ratio({"a": [], "b": []}, "a", "b")


def test_items_take_turns_and_rounds_add_them_up() -> None:
    seen: list[tuple[str, int, int]] = []

    def measure(name: str, number: int, item: int) -> float:
        seen.append((name, number, item))
        return {"a": 1.0, "b": 10.0}[name] * (1 + number) + item

    values = interleave_items(["a", "b"], measure, num_items=3, num_rounds=2)
    assert values == {"a": [6.0, 9.0], "b": [33.0, 63.0]}
    assert seen[:4] == [("a", 0, 0), ("b", 0, 0), ("b", 0, 1), ("a", 0, 1)]
    stopped = interleave_items(
        ["a"], measure, num_items=1, num_rounds=9, may_go_on=lambda: len(seen) < 14
    )
    assert len(stopped["a"]) == 2

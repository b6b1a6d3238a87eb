"""In which order the tool calls of one reply run, by what they do to the world."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

from weft.tools.tool import Effect

__all__ = ["BatchCall", "BatchPlan", "plan_batch"]


class BatchCall(NamedTuple):
    """One call that a reply asks for."""

    tool: str
    effect: Effect
    arguments: Mapping[str, object]


class BatchPlan(NamedTuple):
    """Calls by their number in the reply."""

    free: tuple[int, ...]
    """Pure calls: nobody can tell when they ran, so they start at once."""
    waves: tuple[tuple[int, ...], ...]
    """To be run one after the other: reads side by side, or one write alone."""
    same_as: Mapping[int, int]
    """Pure calls that ask what an earlier one asks, and take its result."""


def plan_batch(calls: Mapping[int, BatchCall]) -> BatchPlan:
    """When to run calls, given by number and in order.

    A write sees what the calls before it did, and a read what the writes before it did, as if
    all ran in the order of the reply."""
    free: list[int] = []
    waves: list[list[int]] = []
    same_as: dict[int, int] = {}
    asked: dict[str, int] = {}
    takes_reads = False
    for number, call in calls.items():
        if call.effect == "pure":
            first = asked.setdefault(_question(call), number)
            if first == number:
                free.append(number)
            else:
                same_as[number] = first
        elif call.effect == "read" and takes_reads:
            waves[-1].append(number)
        else:
            waves.append([number])
            takes_reads = call.effect == "read"
    return BatchPlan(tuple(free), tuple(map(tuple, waves)), same_as)


def _question(call: BatchCall) -> str:
    return json.dumps([call.tool, call.arguments], sort_keys=True)

"""Measuring on a host that others use too."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from weft.runtime.machine import num_usable_cpus, stolen_s

__all__ = ["Measured", "undisturbed"]

T = TypeVar("T")
TOLERATED = 0.1
"""The share of the processor time that others on the host may take."""
MOST_TRIES = 3
PAUSE_S = 10.0
"""Between tries."""


class Measured(NamedTuple, Generic[T]):
    result: T
    stolen: float
    """The share of the processor time that others took meanwhile."""


def undisturbed(
    measure: Callable[[], T],
    *,
    sleep: Callable[[float], object] = time.sleep,
    now_s: Callable[[], float] = time.perf_counter,
    taken_s: Callable[[], float] = stolen_s,
    num_cpus: int | None = None,
) -> Measured[T]:
    """The first of three measurements from which others took little processor time, else the one
    from which they took least. Where that is not told, the first."""
    cpus = num_cpus or num_usable_cpus()
    tries: list[Measured[T]] = []
    for number in range(MOST_TRIES):
        if number:
            sleep(PAUSE_S)
        began_s, taken_before_s = now_s(), taken_s()
        result = measure()
        whole_s = cpus * (now_s() - began_s)
        stolen = (taken_s() - taken_before_s) / whole_s if whole_s > 0 else 0.0
        tries.append(Measured(result, stolen))
        if stolen <= TOLERATED:
            break
    return min(tries, key=lambda one: one.stolen)

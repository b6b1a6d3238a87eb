"""Time and its parts."""

from __future__ import annotations

from weft.runtime.bench.shares import TimeShares
from weft.runtime.testing import ManualClock


def test_what_one_leaves_goes_to_those_after_it() -> None:
    clock = ManualClock()
    shares = TimeShares(100.0, [1.0, 1.0, 2.0], clock=clock.now)
    lasts = shares.begin()
    clock.advance(24.0)
    assert lasts()
    clock.advance(1.0)
    assert not lasts()
    lasts = shares.begin()  # a third of the 75 that are left
    clock.advance(5.0)
    lasts = shares.begin()  # all of the 70 that are left
    clock.advance(69.0)
    assert lasts()
    clock.advance(1.0)
    assert not lasts()


def test_nothing_is_left_after_the_deadline() -> None:
    clock = ManualClock(50.0)
    shares = TimeShares(20.0, [1.0], clock=clock.now)
    assert not shares.begin()()

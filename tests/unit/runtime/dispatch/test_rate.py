from __future__ import annotations

import pytest

from weft.runtime.dispatch.rate import Rate


def test_steady_growth_is_seen_whenever_it_is_asked_for() -> None:
    rate = Rate(10.0, 500)
    for tick in range(1, 400):
        now_s = 10.0 + tick * 0.05
        assert rate.take(now_s, 500 + tick * 5) == pytest.approx(100.0)


def test_what_was_before_the_last_second_is_forgotten() -> None:
    rate = Rate(0.0, 0)
    assert rate.take(1.0, 1000) == 1000.0
    assert rate.take(2.0, 1000) == 0.0


def test_after_a_pause_it_is_the_mean_of_the_pause() -> None:
    rate = Rate(0.0, 0)
    assert rate.take(100.0, 1000) == 10.0
    assert rate.take(100.5, 1000) == pytest.approx(1000 / 100.5)
    assert rate.take(101.0, 1100) == 100.0


def test_at_its_beginning_nothing_grows() -> None:
    assert Rate(3.0, 7).take(3.0, 7) == 0.0


def test_it_keeps_few_samples_however_often_it_is_asked() -> None:
    rate = Rate(0.0, 0)
    for tick in range(10_000):
        rate.take(tick * 0.001, tick)
    assert len(rate._samples) < 15  # pyright: ignore[reportPrivateUsage]

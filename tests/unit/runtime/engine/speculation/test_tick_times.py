from __future__ import annotations

import random

import pytest

from weft.runtime.engine.speculation.tick_times import TickTimes


def test_a_line_is_found_in_noise() -> None:
    rng = random.Random(0)
    times = TickTimes()
    for _ in range(300):
        num_guesses = rng.randint(0, 12)
        times.note(1, num_guesses, (1e-3 + 5e-5 * num_guesses) * rng.uniform(0.95, 1.05))
    assert times.of(0) == pytest.approx(1e-3, rel=0.05)
    assert times.slope_s == pytest.approx(5e-5, rel=0.2)
    assert times.of(10) == pytest.approx(1.5e-3, rel=0.05)


def test_until_seen_a_guess_costs_part_of_a_draw_or_what_it_costs_elsewhere() -> None:
    times, like = TickTimes(), TickTimes(3e-5)
    assert not times.is_known
    times.note(8, 0, 1e-3)
    like.note(8, 0, 1e-3)
    assert times.is_known
    assert 0 < times.slope_s < 1e-3 / 8
    assert like.slope_s == pytest.approx(3e-5)
    assert like.of(10) == pytest.approx(1.3e-3)


def test_what_changed_is_learnt_anew_and_a_shock_is_not() -> None:
    times = TickTimes()
    for number in range(200):
        times.note(1, number % 5, 1e-3)
    times.note(1, 2, 10.0)
    assert times.of(0) < 1.2e-3
    for number in range(400):
        times.note(1, number % 5, 3e-3)
    assert times.of(0) == pytest.approx(3e-3, rel=0.05)


def test_more_guesses_never_take_less() -> None:
    times = TickTimes()
    for number in range(50):
        times.note(1, number % 5, 1e-3 - 1e-4 * (number % 5))
    assert times.slope_s == 0.0

from __future__ import annotations

import random

import pytest

from weft.runtime.engine.speculation.goodput import MIN_CHANCE, Goodput, Load


def run(load: Load, num_ticks: int, base_s: float, slope_s: float, chances: list[float]) -> float:
    """Ticks that take what they say, guesses that come true as often as they say: seconds per
    token."""
    rng = random.Random(0)
    tokens = total_s = 0.0
    for _ in range(num_ticks):
        num_guesses = load.choose(chances, 1) if load.takes_guesses else 0
        draw = rng.random()
        num_tokens = 1 + sum(draw < chance for chance in chances[:num_guesses])
        seconds = base_s + slope_s * num_guesses
        load.note(num_guesses, num_tokens, seconds)
        tokens += num_tokens
        total_s += seconds
    return total_s / tokens


def best(base_s: float, slope_s: float, chances: list[float]) -> float:
    """Seconds per token for the best number of guesses: every number tried."""
    return min(
        (base_s + slope_s * number) / (1 + sum(chances[:number]))
        for number in range(len(chances) + 1)
    )


@pytest.mark.parametrize("slope_s", [0.0, 2e-5, 1e-4, 3e-4, 8e-4])
def test_the_number_of_guesses_is_the_one_that_pays(slope_s: float) -> None:
    chances = [0.8**depth for depth in range(1, 17)]
    load = Load(1)
    run(load, 300, 1e-3, slope_s, chances)
    assert run(load, 3000, 1e-3, slope_s, chances) <= 1.05 * best(1e-3, slope_s, chances)


def test_what_never_comes_true_is_hardly_tried() -> None:
    load = Load(32)
    num_guessed = 0
    for _ in range(2000):
        num_guesses = 16 if load.takes_guesses else 0
        num_guessed += num_guesses > 0
        load.note(num_guesses, 32, 5e-3 + 1e-4 * num_guesses)
    assert 0 < num_guessed < 60


def test_a_change_is_noticed() -> None:
    load = Load(1)
    run(load, 500, 1e-3, 1e-3, [0.3] * 8)
    chances = [0.7**depth for depth in range(1, 9)]
    run(load, 2000, 1e-3, 1e-5, chances)
    assert run(load, 500, 1e-3, 1e-5, chances) < 0.5e-3


def test_slow_guesses_must_be_likely() -> None:
    load = Load(8)
    assert load.min_chance == MIN_CHANCE
    run(load, 40, 1e-3, 1e-4, [0.9, 0.8, 0.7, 0.6, 0.5])
    assert load.min_chance > MIN_CHANCE


def test_near_numbers_of_draws_are_one_load() -> None:
    goodput = Goodput()
    assert goodput.load(32) is goodput.load(47)
    assert goodput.load(32) is not goodput.load(48)
    assert goodput.load(3) is not goodput.load(4)
    assert goodput.load(1) is not goodput.load(2)


def test_a_new_load_starts_from_what_the_nearest_knows() -> None:
    goodput = Goodput()
    known = goodput.load(24)
    for _ in range(200):
        known.note(16 if known.takes_guesses else 0, 24, 5e-3 if known.takes_guesses else 4e-3)
    assert not known.pays
    fresh = goodput.load(32)
    assert fresh.slope_s is None
    for _ in range(60):
        assert not fresh.takes_guesses
        fresh.note(0, 32, 5e-3)

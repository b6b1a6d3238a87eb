from __future__ import annotations

import pytest

from weft.runtime.engine.speculation.rates import FORCED, HitRates, Trust


def test_rates_move_to_what_happens() -> None:
    rates = HitRates()
    before = rates.of(3)
    for number in range(400):
        rates.note(3, is_hit=number % 4 == 0)
        rates.note(FORCED, is_hit=True)
    assert abs(rates.of(3) - 0.25) < 0.08 < before - 0.25
    assert rates.of(FORCED) > 0.99
    assert rates.of(4) == HitRates().of(4)


def test_longer_echoes_are_believed_more_at_first() -> None:
    rates = HitRates()
    known = [rates.of(length) for length in range(1, 9)]
    assert known == sorted(known)
    assert 0 < known[0] < known[-1] < rates.of(FORCED) + 0.1


def test_trust_corrects_the_rates_and_never_makes_certain() -> None:
    lucky, unlucky = Trust(), Trust()
    assert lucky.chance(0.5) == pytest.approx(0.5)
    for _ in range(100):
        lucky.note(0.5, is_hit=True)
        unlucky.note(0.5, is_hit=False)
    assert lucky.chance(0.5) > 0.8
    assert unlucky.chance(0.5) < 0.15
    assert lucky.chance(0.9) == 0.99

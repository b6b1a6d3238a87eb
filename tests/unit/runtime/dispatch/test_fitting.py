"""Costs found from what an engine did."""

from __future__ import annotations

import random

import pytest

from weft.errors import InvalidRequest
from weft.runtime.dispatch import Work, fit_costs
from weft.runtime.engine.protocol import EngineStats
from weft.runtime.scheduler import Costs

TRUE = Costs(tick_s=1e-3, decode_s=2e-4, prefill_s=5e-5, context_s=0.0, read_s=3e-7)


def spans(costs: Costs, *, noise: float = 0.0) -> list[Work]:
    rng = random.Random(0)
    found: list[Work] = []
    for _ in range(200):
        ticks = rng.randrange(1, 10)
        decoded, prefilled = ticks * rng.randrange(20), rng.randrange(2000)
        read = decoded * rng.randrange(100, 3000)
        exact = (
            ticks * costs.tick_s
            + decoded * costs.decode_s
            + prefilled * costs.prefill_s
            + read * costs.read_s
        )
        took_s = exact * (1 + rng.gauss(0, noise))
        found.append(Work(took_s, ticks, decoded, prefilled, read, 3 * decoded // 2))
    return found


def test_costs_that_made_the_times_are_found() -> None:
    found = fit_costs(spans(TRUE), Costs(spill_s=7e-6))
    for name in ("tick_s", "decode_s", "prefill_s", "read_s"):
        assert getattr(found, name) == pytest.approx(getattr(TRUE, name), rel=1e-3)
    assert found.spill_s == 7e-6
    assert found.tokens_per_tick == pytest.approx(1.5, abs=0.01)
    assert found.start_ticks == 2.0


def test_no_cost_is_negative_and_the_whole_stays_right() -> None:
    free = Costs(tick_s=0.0, decode_s=0.0, prefill_s=5e-5, context_s=0.0, read_s=3e-7)
    drawn = spans(free, noise=0.3)
    found = fit_costs(drawn, Costs())
    told = sum(
        span.num_ticks * found.tick_s
        + span.num_decoded * found.decode_s
        + span.num_prefilled * found.prefill_s
        + span.num_read * found.read_s
        for span in drawn
    )
    assert told == pytest.approx(sum(span.busy_s for span in drawn), rel=0.1)
    assert min(found.tick_s, found.decode_s, found.prefill_s, found.read_s) >= 0


def test_spans_are_between_counters_and_one_that_did_something_is_needed() -> None:
    before = EngineStats(busy_s=1.0, num_ticks=5)
    after = EngineStats(
        busy_s=1.5,
        num_ticks=7,
        num_decoded_tokens=3,
        num_prefilled_tokens=9,
        num_read_tokens=40,
        num_generated_tokens=2,
    )
    between = Work.between(before, after)
    assert between == (0.5, 2, 3, 9, 40, 2)
    assert fit_costs([between], Costs()).tokens_per_tick == 1.0
    assert fit_costs([between._replace(num_decoded=0)], Costs()).tokens_per_tick == 1.0
    with pytest.raises(InvalidRequest, match="no work"):
        fit_costs([Work.between(before, before)], Costs())

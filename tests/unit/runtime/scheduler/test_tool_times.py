"""What is learnt of tools, against sorted samples."""

from __future__ import annotations

from random import Random

import pytest

from weft.runtime.scheduler import ToolTimes
from weft.runtime.scheduler.tool_times import MAX_TOOLS, NUM_BUCKETS, Latencies

RATIO = 2 ** (1 / 4)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_quantiles_are_those_of_the_samples_up_to_a_bucket(share: float) -> None:
    random = Random(1)
    samples = sorted(random.lognormvariate(1.0, 1.0) for _ in range(500))
    latencies = Latencies()
    for sample in samples:
        latencies.add(sample)
    exact = samples[round(share * 500) - 1]
    assert exact / RATIO <= latencies.quantile_s(share) <= exact * RATIO


def test_the_time_left_is_that_of_runs_that_took_longer() -> None:
    times = ToolTimes()
    for latency_s in [0.1] * 9 + [100.0] * 3:
        times.add("shell", latency_s)
    assert times.remaining_s("shell", 0.0) == pytest.approx(0.1, rel=0.2)
    assert times.remaining_s("shell", 1.0) == pytest.approx(99.0, rel=0.2)
    assert times.remaining_s("shell", 5000.0) == 5000.0


def test_the_time_left_is_never_negative() -> None:
    times = ToolTimes()
    times.add("shell", 3.0)
    assert all(times.remaining_s("shell", tenths / 10) >= 0 for tenths in range(100))


def test_a_tool_never_seen_is_taken_for_all_tools_or_for_the_given_time() -> None:
    times = ToolTimes(unknown_s=2.0)
    assert times.remaining_s("new", 0.5) == 1.5
    times.add("shell", 50.0)
    assert times.remaining_s("new", 0.0) == pytest.approx(50.0, rel=0.2)


def test_memory_is_bounded_and_old_samples_fade() -> None:
    times = ToolTimes()
    for number in range(MAX_TOOLS + 10):
        times.add(f"tool{number}", 1.0)
    assert times.of(f"tool{MAX_TOOLS + 5}") is times.of("unknown")
    latencies = Latencies()
    for latency_s in [1.0] * 2000 + [8.0] * 2000:
        latencies.add(latency_s)
    assert latencies.quantile_s(0.5) == pytest.approx(8.0, rel=0.2)
    assert len(list(latencies.shares())) == 2 <= NUM_BUCKETS


def test_shares_rise_to_one() -> None:
    latencies = Latencies()
    for latency_s in (0.5, 1.0, 1.0, 4.0):
        latencies.add(latency_s)
    assert [share for _, share in latencies.shares()] == [0.25, 0.75, 1.0]


def test_the_chance_of_return_is_that_of_the_best_span() -> None:
    times = ToolTimes()
    for latency_s in [0.1] * 9 + [100.0]:
        times.add("shell", latency_s)
    # Nine of ten come back within 0.1 s; who is not back by then has 100 s to go.
    assert times.return_rate("shell", 0.0) == pytest.approx(0.9 / 0.1, rel=0.25)
    assert times.return_rate("shell", 1.0) == pytest.approx(1 / 99, rel=0.25)
    assert times.return_rate("shell", 1000.0) == 1 / 1000.0
    assert ToolTimes(unknown_s=2.0).return_rate("new", 0.0) == 0.5

"""What is learnt of tools, against the samples themselves."""

from __future__ import annotations

import math
from random import Random

import pytest

from weft.tools.histogram import Histogram
from weft.tools.statistics import MAX_TOOLS, ToolStatistics

MIB = 1 << 20
WIDTH = 2**0.25 + 1e-6
"""A quantile is the upper edge of a bucket, this many times its lower one."""


@pytest.mark.parametrize("share", [0.01, 0.5, 0.9, 0.99, 1.0])
def test_quantiles_are_those_of_the_samples_up_to_a_bucket(share: float) -> None:
    random = Random(7)
    samples = [random.lognormvariate(0, 2) for _ in range(1000)]
    histogram = Histogram(smallest=1e-3, num_doublings=24)
    for sample in samples:
        histogram.add(sample)
    exact = sorted(samples)[math.ceil(share * len(samples)) - 1]
    assert exact <= histogram.quantile(share) * (1 + 1e-9)
    assert histogram.quantile(share) <= exact * WIDTH


def test_the_ends_hold_what_lies_beyond_them() -> None:
    histogram = Histogram(smallest=1.0, num_doublings=3)
    assert histogram.quantile(0.5) == 0.0
    histogram.add(0.0)
    assert histogram.quantile(1.0) == 1.0
    histogram.add(1e9)
    assert histogram.quantile(1.0) == 8.0
    histogram.add(2.0)
    assert histogram.quantile(0.66) == 2.0


def test_what_is_old_is_forgotten_by_and_by() -> None:
    histogram = Histogram(smallest=1.0, num_doublings=10)
    for _ in range(3000):
        histogram.add(1.0)
    for _ in range(3000):
        histogram.add(100.0)
    assert histogram.quantile(0.25) > 90
    assert histogram.num_samples == 6000


def test_endings_are_counted_and_a_cancelled_call_has_no_latency() -> None:
    statistics = ToolStatistics()
    statistics.add("shell", "done", 1.0, 10 * MIB)
    statistics.add("shell", "failed", 2.0)
    statistics.add("shell", "timeout", 4.0, 20 * MIB)
    statistics.add("shell", "cancelled", 1000.0)
    record = statistics.of("shell")
    assert record.counts == {"done": 1, "failed": 1, "timeout": 1, "cancelled": 1}
    assert (record.num_calls, record.num_measured) == (4, 2)
    assert 4.0 <= record.latency_s(1.0) <= 4.0 * WIDTH
    assert 20 * MIB <= record.peak_memory_bytes() <= 20 * MIB * WIDTH
    assert statistics.of("unknown").num_calls == 0


def test_tools_without_end_take_no_memory_without_end() -> None:
    statistics = ToolStatistics()
    for number in range(10 * MAX_TOOLS):
        statistics.add(f"tool {number}", "done", 1.0)
    assert len(statistics.records) == MAX_TOOLS
    assert statistics.of("tool 0").num_calls == 1
    assert statistics.of("never called").num_calls == 9 * MAX_TOOLS

"""The bench of parallel decoding: its parts, and the time that each has."""

from __future__ import annotations

import pytest

from weft.runtime.bench import parallel
from weft.runtime.bench.findings import Findings
from weft.runtime.bench.options import DEFAULT_LIMIT_S, BenchOptions


def test_the_bench_has_the_figures_of_all_its_parts_within_one_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def one(findings: Findings, options: BenchOptions, until: float) -> None:
        findings.figures["one"] = until

    def two(findings: Findings, options: BenchOptions, until: float) -> None:
        findings.figures["two"] = until

    monkeypatch.setattr(parallel, "PARTS", ((one, 0.25), (two, 1.0)))
    figures = parallel.bench_parallel(BenchOptions()).figures
    assert list(figures) == ["one", "two"]
    assert figures["two"] - figures["one"] == pytest.approx(0.75 * DEFAULT_LIMIT_S)

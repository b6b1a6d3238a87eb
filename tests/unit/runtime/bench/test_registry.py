"""Benches by name."""

from __future__ import annotations

import pytest

from weft.errors import InvalidRequest
from weft.runtime.bench import BenchOptions, bench_names, run_bench
from weft.runtime.bench.findings import Findings


def test_benches_have_names() -> None:
    assert bench_names() == ("engine", "overhead", "prefix", "quantised", "speculate")


def test_unknown_bench_is_refused_by_name() -> None:
    with pytest.raises(
        InvalidRequest, match="'speed'.*engine, overhead, prefix, quantised, speculate"
    ):
        run_bench("speed")


def test_report_carries_findings_machine_and_seed() -> None:
    def bench(options: BenchOptions) -> Findings:
        findings = Findings()
        findings.figures["answer"] = 42.0
        findings.rows.append({"seed": options.seed})
        findings.missing.append("peer: not there")
        findings.versions["peer"] = "9.9"
        return findings

    report = run_bench("toy", BenchOptions(seed=5), benches={"toy": bench})
    assert (report.bench, report.seed, report.figures) == ("toy", 5, {"answer": 42.0})
    assert report.rows == ({"seed": 5},)
    assert report.missing == ("peer: not there",)
    assert report.machine["peer"] == "9.9" and report.machine["python"]

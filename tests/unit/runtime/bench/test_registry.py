"""Benches by name."""

from __future__ import annotations

import pytest

from weft.errors import InvalidRequest
from weft.runtime.bench import BenchOptions, bench_names, run_bench
from weft.runtime.bench.findings import Findings

NAMES = (
    "deterministic",
    "engine",
    "hogwild",
    "overhead",
    "parallel",
    "prefix",
    "quantised",
    "simulator",
    "speculate",
)


def test_benches_have_names() -> None:
    assert bench_names() == NAMES


def test_unknown_bench_is_refused_by_name() -> None:
    with pytest.raises(InvalidRequest, match=f"'speed'.*{', '.join(NAMES)}"):
        run_bench("speed")


@pytest.mark.parametrize(
    "options", [BenchOptions(models=("mini",)), BenchOptions(workloads=("prefill",))]
)
def test_only_the_engine_s_models_and_workloads_can_be_chosen(options: BenchOptions) -> None:
    with pytest.raises(InvalidRequest, match="'toy'.*'engine' alone"):
        run_bench("toy", options, benches={"toy": lambda _: Findings()})
    assert run_bench("engine", options, benches={"engine": lambda _: Findings()}).figures == {}


def test_report_carries_findings_machine_and_seed() -> None:
    def bench(options: BenchOptions) -> Findings:
        findings = Findings()
        findings.note("answer", 42.0, num_rounds=1, num_asked=2)
        findings.rows.append({"seed": options.seed})
        findings.missing.append("peer: not there")
        findings.versions["peer"] = "9.9"
        return findings

    report = run_bench("toy", BenchOptions(seed=5), benches={"toy": bench})
    assert (report.bench, report.seed, report.figures) == ("toy", 5, {"answer": 42.0})
    assert report.basis["answer"].is_short
    assert report.rows == ({"seed": 5},)
    assert report.missing == ("peer: not there",)
    assert report.machine["peer"] == "9.9" and report.machine["python"]

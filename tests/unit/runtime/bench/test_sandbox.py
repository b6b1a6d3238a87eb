"""The sandbox bench: its figures on small work, and what it says where the machine gives less."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from weft.runtime.bench.findings import Findings
from weft.runtime.bench.options import BenchOptions
from weft.runtime.bench.sandbox import disk_bytes, measure_calls, measure_workspaces
from weft.tools.sandbox import SandboxLevel, SandboxReport, probe


@pytest.mark.slow
async def test_calls_are_measured_beside_plain_ones(tmp_path: Path) -> None:
    report = probe()
    if report.level < SandboxLevel.FULL:
        pytest.skip(f"no full sandbox here: {' '.join(report.reasons)}")
    findings = Findings()
    await measure_calls(findings, report, tmp_path, BenchOptions(num_rounds=1))
    ours, plain = findings.figures["python_call_cpu_ms"], findings.figures["plain_python_cpu_ms"]
    assert 0 < plain < ours < 500
    assert 0 < findings.figures["python_overhead_cpu_ms"] < ours
    assert findings.basis["python_call_cpu_ms"].num_rounds == 10
    assert {row["what"] for row in findings.rows} == set(findings.figures)


async def test_a_machine_that_confines_less_is_told(tmp_path: Path) -> None:
    findings = Findings()
    report = SandboxReport(level=SandboxLevel.LANDLOCK, reasons=("full: no bubblewrap.",))
    await measure_calls(findings, report, tmp_path, BenchOptions())
    assert findings.figures == {}
    assert findings.missing == ["the full sandbox: full: no bubblewrap."]


@pytest.mark.slow
def test_workspaces_are_measured_beside_copies(tmp_path: Path) -> None:
    findings = Findings()
    measure_workspaces(findings, tmp_path, BenchOptions(num_rounds=1), num_files=400)
    if findings.missing:
        pytest.skip(findings.missing[0])
    names = {"workspace_fork_ms", "workspace_copy_ms", "workspaces_disk_share"}
    assert set(findings.figures) == names
    assert 0 < findings.figures["workspace_fork_ms"] < findings.figures["workspace_copy_ms"]
    assert 1 / 64 < findings.figures["workspaces_disk_share"] <= 0.25


def test_a_file_with_several_names_counts_once(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(os.urandom(10_000))
    os.fsync(descriptor := os.open(tmp_path / "one", os.O_RDONLY))
    os.close(descriptor)
    before = disk_bytes([tmp_path])
    os.link(tmp_path / "one", tmp_path / "two")
    assert disk_bytes([tmp_path]) == before >= 10_000

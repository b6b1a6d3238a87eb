"""The bench of policies in virtual time, on few replicas."""

from __future__ import annotations

import pytest

from weft.runtime.bench import BenchOptions
from weft.runtime.bench.simulator import measure_simulator
from weft.runtime.scheduler import policy_names


@pytest.mark.slow
def test_every_policy_is_simulated_and_the_figures_are_those_of_the_rows() -> None:
    said: list[str] = []
    findings = measure_simulator(
        BenchOptions(seed=1, say=said.append), num_programs=60, num_replicas=1
    )
    rows = [row for row in findings.rows if row["what"] == "simulation"]
    assert [row["policy"] for row in rows] == [*policy_names(), "weft"]
    rates = {str(row["policy"]): float(row["steps_per_minute"]) for row in rows[:-1]}
    own = rates.pop("weft")
    assert findings.figures["sim1_vs_best_other_x2"] == own / max(rates.values())
    assert set(findings.figures) == {
        "sim1_vs_best_other_x2",
        "sim1_spill_vs_best_other_x2",
        "sim1_p99_wait_vs_fcfs_x2",
        "sim1_jain_x2",
        "sim1_wall_s_x2",
    }
    assert findings.rows[-1]["what"] == "costs" and "prefill_s" in said[0]

"""``weft bench simulator``: the scheduler's policies on 16 simulated replicas."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace

from weft.runtime.bench.findings import Findings
from weft.runtime.bench.options import BenchOptions
from weft.runtime.bench.report import Row
from weft.runtime.scheduler import Costs, ReplicaSized
from weft.runtime.scheduler.policies import CapPolicy
from weft.runtime.scheduler.simulator import (
    AgentWorkload,
    Arm,
    Cell,
    concurrency_for,
    default_arms,
    sweep,
    tune,
)

__all__ = ["bench_simulator", "measure_simulator"]

NUM_REPLICAS = 16
NUM_PROGRAMS = 10_000
CAPACITY_TOKENS, MAX_CALLS = 60_000, 64
SCALE = 0.1
SPILL = 4
"""Pools of KV that fit outside a replica's own, where that is measured."""
OVERSUBSCRIPTIONS = 0.5, 1.0, 1.5, 2.0, 3.0
CAP_SHARES = 0.3, 0.4, 0.5, 0.6, 0.7, 0.8
"""Of the programs that are open at twofold load: the caps tried."""


def bench_simulator(options: BenchOptions) -> Findings:
    """Every policy on the same 10,000 programs, at twofold load; in full at every load.

    The workload is that of ``AgentWorkload`` at a tenth of its tokens, with as many programs open
    as hold the stated multiple of the replicas' KV. Figures: ``sim16_vs_best_other_x2`` is weft's
    steps per minute over the best other policy's, ``sim16_spill_vs_best_other_x2`` the same where
    weft may keep four times the pool outside it, ``sim16_p99_wait_vs_fcfs_x2`` the 99th percentile
    of waits over that of fcfs, ``sim16_jain_x2`` the fairness over tenants, ``sim16_wall_s_x2`` the
    time that simulating weft took.
    """
    loads = OVERSUBSCRIPTIONS if options.is_full else (2.0,)
    return measure_simulator(options, num_programs=NUM_PROGRAMS, loads=loads)


def measure_simulator(
    options: BenchOptions,
    *,
    num_programs: int,
    num_replicas: int = NUM_REPLICAS,
    loads: Sequence[float] = (2.0,),
) -> Findings:
    """The bench on so many programs and replicas."""
    findings = Findings()
    costs = Costs()
    options.say(f"simulator: costs {asdict(costs)}")
    workload = AgentWorkload(num_programs=num_programs, programs_per_s=1.0, scale=SCALE)
    scripts = workload.draw(options.seed)
    for load in loads:
        arms = _arms(workload, num_replicas, load, options)
        spilling = {"weft": arms["weft"]}
        for spill, some in ((0, arms), (SPILL, spilling)):
            replicas = _replicas(num_replicas, spill=spill)
            for name, arm in some.items():
                options.say(f"simulator: {name} at {load:g} times, {spill} pools outside")
                started_s = time.perf_counter()
                (cell,) = sweep(
                    {name: arm},
                    lambda seed: scripts,
                    replicas,
                    oversubscriptions=[load],
                    seeds=[options.seed],
                    costs=costs,
                )
                findings.rows.append(_row(cell, spill, time.perf_counter() - started_s))
        _note(findings, num_replicas, load)
    findings.rows.append({"what": "costs", **asdict(costs)})
    return findings


def _replicas(num_replicas: int, *, spill: int) -> list[ReplicaSized]:
    return [
        ReplicaSized(0.0, f"r{number}", CAPACITY_TOKENS, MAX_CALLS, spill * CAPACITY_TOKENS)
        for number in range(num_replicas)
    ]


def _arms(
    workload: AgentWorkload, num_replicas: int, load: float, options: BenchOptions
) -> dict[str, Arm]:
    """All policies, ``cap`` at its best setting, found on an eighth of the replicas."""
    num_few = max(1, num_replicas // 8)
    few = _replicas(num_few, spill=0)
    small = replace(workload, num_programs=workload.num_programs * num_few // (2 * num_replicas))
    num_open = concurrency_for(small.draw(options.seed), few, 2.0)
    caps = sorted({max(1, round(share * num_open)) for share in CAP_SHARES})
    tuned = tune(
        {str(cap): _capped(cap) for cap in caps},
        small.draw,
        few,
        oversubscription=load,
        seeds=(options.seed, options.seed + 1),
    )
    best = round(int(tuned.best) * num_replicas / num_few)
    options.say(f"simulator: the best cap at {load:g} times is {best} programs")
    return default_arms(best_cap=best)


def _capped(max_programs: int) -> Arm:
    return lambda costs: CapPolicy(costs, max_programs=max_programs)


def _row(cell: Cell, spill: int, wall_s: float) -> Row:
    return {
        "what": "simulation",
        "policy": cell.arm,
        "oversubscription": cell.oversubscription,
        "spill_pools": spill,
        "seed": cell.seed,
        "concurrency": cell.concurrency,
        "wall_s": wall_s,
        **cell.report._asdict(),
    }


def _note(findings: Findings, num_replicas: int, load: float) -> None:
    """The figures of one load, from its rows."""
    rows = [row for row in findings.rows if row.get("oversubscription") == load]
    plain = {str(row["policy"]): row for row in rows if not row["spill_pools"]}
    (spilled,) = (row for row in rows if row["spill_pools"])
    own = plain.pop("weft")
    best = max(float(row["steps_per_minute"]) for row in plain.values())
    figures = {
        "vs_best_other": float(own["steps_per_minute"]) / best,
        "spill_vs_best_other": float(spilled["steps_per_minute"]) / best,
        "p99_wait_vs_fcfs": _ratio(own["p99_wait_s"], plain["fcfs"]["p99_wait_s"]),
        "jain": float(own["jain_of_tenants"]),
        "wall_s": float(own["wall_s"]),
    }
    for name, value in figures.items():
        findings.note(f"sim{num_replicas}_{name}_x{load:g}", value, num_rounds=1, num_asked=1)


def _ratio(value: float | str, other: float | str) -> float:
    """Of two waits, either of which may be nothing: a hundredth of a second is added to both."""
    return (float(value) + 0.01) / (float(other) + 0.01)

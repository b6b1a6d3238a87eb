"""The benches by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from weft.errors import InvalidRequest
from weft.runtime.bench.agentic import bench_agentic
from weft.runtime.bench.deterministic import bench_deterministic
from weft.runtime.bench.engine import bench_engine
from weft.runtime.bench.findings import Findings
from weft.runtime.bench.hogwild import bench_hogwild
from weft.runtime.bench.options import BenchOptions
from weft.runtime.bench.overhead import bench_overhead
from weft.runtime.bench.parallel import bench_parallel
from weft.runtime.bench.prefix import bench_prefix
from weft.runtime.bench.provenance import commit_of, describe_machine
from weft.runtime.bench.quantised import bench_quantised
from weft.runtime.bench.report import BenchReport
from weft.runtime.bench.simulator import bench_simulator
from weft.runtime.bench.speculate import bench_speculate

__all__ = ["Bench", "bench_names", "run_bench"]

Bench = Callable[[BenchOptions], Findings]

BENCHES: Mapping[str, Bench] = {
    "agentic": bench_agentic,
    "deterministic": bench_deterministic,
    "engine": bench_engine,
    "hogwild": bench_hogwild,
    "overhead": bench_overhead,
    "parallel": bench_parallel,
    "prefix": bench_prefix,
    "quantised": bench_quantised,
    "simulator": bench_simulator,
    "speculate": bench_speculate,
}
SELECTIVE = "engine"
"""The bench whose models and workloads can be chosen."""


def bench_names() -> tuple[str, ...]:
    return tuple(sorted(BENCHES))


def run_bench(
    name: str,
    options: BenchOptions | None = None,
    *,
    benches: Mapping[str, Bench] = BENCHES,
) -> BenchReport:
    """Run one bench to its end: minutes, with nothing else on the machine if it is to count.

    Starts the peers it finds and stops them again; those it misses are named in the report.
    Raises InvalidRequest for an unknown name or choice, EngineError when weft's own side fails.
    """
    if name not in benches:
        raise InvalidRequest(
            f"There is no bench {name!r}.", remedy=f"Choose one of {', '.join(sorted(benches))}."
        )
    options = options or BenchOptions()
    if name != SELECTIVE and (options.models or options.workloads):
        raise InvalidRequest(
            f"The bench {name!r} got models {options.models!r} and workloads "
            f"{options.workloads!r}.",
            remedy=f"These can be chosen for {SELECTIVE!r} alone.",
        )
    machine = describe_machine()  # before it is busy with the bench itself
    findings = benches[name](options)
    return BenchReport(
        bench=name,
        figures=findings.figures,
        rows=tuple(findings.rows),
        missing=tuple(findings.missing),
        machine={**machine, **findings.versions},
        commit=commit_of(Path(__file__).parent),
        seed=options.seed,
        basis=findings.basis,
    )

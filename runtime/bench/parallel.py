"""``weft bench parallel``: one problem in several streams, beside one after the other."""

from __future__ import annotations

from weft.runtime.bench.arguments import bench_arguments
from weft.runtime.bench.findings import Findings
from weft.runtime.bench.options import BenchOptions

__all__ = ["bench_parallel"]

PARTS = (bench_arguments,)
"""Each adds its figures to the findings."""


def bench_parallel(options: BenchOptions) -> Findings:
    """Figures ``args4_…``: arguments of tool calls, see ``bench_arguments``."""
    findings = Findings()
    for part in PARTS:
        part(findings, options)
    return findings

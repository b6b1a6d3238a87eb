"""``weft bench parallel``: one problem in several streams, beside one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable

from weft.runtime.bench.arguments import bench_arguments, bench_widened_arguments
from weft.runtime.bench.findings import Findings
from weft.runtime.bench.forks import bench_forks
from weft.runtime.bench.options import BenchOptions

__all__ = ["bench_parallel"]

Part = Callable[[Findings, BenchOptions, float], None]

PARTS: tuple[tuple[Part, float], ...] = (
    (bench_arguments, 0.2),
    (bench_widened_arguments, 0.25),
    (bench_forks, 1.0),
)
"""Each adds its figures to the findings. With it the share of the bench's time after which it
begins no further round; what earlier parts leave is for those after them."""


def bench_parallel(options: BenchOptions) -> Findings:
    """Figures ``args4_…``: arguments of tool calls, see ``bench_arguments`` and
    ``bench_widened_arguments``; ``fork8_…``: a fork from a long context and its join, see
    ``bench_forks``."""
    findings = Findings()
    started = time.monotonic()
    for part, share in PARTS:
        part(findings, options, started + share * options.limit_s)
    return findings

"""Benches: every figure weft claims comes from ``run_bench``, with its machine and commit."""

from weft.runtime.bench.options import BenchOptions
from weft.runtime.bench.registry import bench_names, run_bench
from weft.runtime.bench.report import BenchReport
from weft.runtime.bench.table import render_table

__all__ = ["BenchOptions", "BenchReport", "bench_names", "render_table", "run_bench"]

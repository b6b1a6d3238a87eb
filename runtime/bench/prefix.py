"""``weft bench prefix``: decoding beside others that share a prefix, read together and not."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from weft.runtime.bench.checkpoint import M197, write_checkpoint
from weft.runtime.bench.contender import own_environment
from weft.runtime.bench.driver import Driver
from weft.runtime.bench.findings import Findings
from weft.runtime.bench.interleave import interleave, median_ratio
from weft.runtime.bench.options import BenchOptions

__all__ = ["bench_prefix", "measure_prefix"]

BATCH = 32
PREFIXES = {"1k": 1024, "16k": 16384}
TIMES = {("shared", "1k"): 7, ("plain", "1k"): 5, ("shared", "16k"): 3, ("plain", "16k"): 3}
"""Steps of one measurement, which gives their median."""
MATRIX = "matrix"


def bench_prefix(options: BenchOptions) -> Findings:
    """Decode rates of 32 sequences over one prefix on a random 197M-parameter model.

    Figures, ``prefix_…_b32``: ``16k_vs_1k`` is the rate over the long prefix relative to the
    short one, ``16k_vs_plain`` and ``1k_vs_plain`` relative to every sequence reading the prefix
    by itself (the same blocks, the same bits); ``…_tokens_per_s`` the rates.

    What bounds it: however often keys are read, each query's product with each key is computed.
    ``attention_gflops`` is the rate of what the long prefix adds, ``matrix_gflops`` that of
    torch's matrix product on this machine, and ``16k_vs_1k_at_matrix_rate`` what the first
    ratio would be if attention ran at the latter.
    """
    with tempfile.TemporaryDirectory(prefix="weft-bench-") as place:
        folder = write_checkpoint(Path(place) / "m197", M197, seed=options.seed)
        driver = Driver(
            Path(sys.executable), "weft_prefix_driver.py", peer="weft", env=own_environment()
        )
        with driver:
            return measure_prefix(driver, folder, options)


def measure_prefix(driver: Driver, folder: Path, options: BenchOptions) -> Findings:
    """The bench on one started driver. Raises PeerFailed."""
    findings = Findings()
    path = driver.call("load", model=str(folder))
    if path != "native":
        findings.missing.append(f"prefix: the {path} path does not read prefixes together")
        return findings
    for name, prefix in PREFIXES.items():
        options.say(f"prefix: a memory of {name} tokens")
        driver.call("prepare", prefix=prefix, batch=BATCH, seed=options.seed)
        driver.call("step", prefix=prefix, shares=True, times=1)  # to warm up
    names = [*(f"{way}_{length}" for way, length in TIMES), MATRIX]

    def measure(name: str, number: int) -> float:
        options.say(f"prefix: {name}, round {number + 1}")
        return _measure(driver, name)

    deadline = time.monotonic() + options.limit_s
    values = interleave(
        names,
        measure,
        num_rounds=options.rounds,
        may_go_on=lambda: time.monotonic() < deadline,
    )
    _note(findings, values, options.rounds)
    return findings


def _measure(driver: Driver, name: str) -> float:
    """Tokens per second, or operations per second of the matrix product."""
    if name == MATRIX:
        return float(driver.call("matrix_rate"))
    way, length = name.split("_")
    seconds = driver.call(
        "step", prefix=PREFIXES[length], shares=way == "shared", times=TIMES[way, length]
    )
    return BATCH / float(seconds)


def _note(findings: Findings, values: Mapping[str, list[float]], num_asked: int) -> None:
    rates = {name: statistics.median(measured) for name, measured in values.items()}
    for name, value in _figures(values, rates).items():
        findings.note(f"prefix_{name}", value, num_rounds=len(values[MATRIX]), num_asked=num_asked)
    for name, measured in values.items():
        findings.rows.append(
            {
                "what": name,
                "num_rounds": len(measured),
                "median": rates[name],
                "lowest": min(measured),
                "highest": max(measured),
            }
        )


def _figures(values: Mapping[str, Sequence[float]], rates: Mapping[str, float]) -> dict[str, float]:
    added = _added_operations()
    short, long = BATCH / rates["shared_1k"], BATCH / rates["shared_16k"]
    return {
        "16k_vs_1k_b32": median_ratio(values, "shared_16k", "shared_1k"),
        "16k_vs_plain_b32": median_ratio(values, "shared_16k", "plain_16k"),
        "1k_vs_plain_b32": median_ratio(values, "shared_1k", "plain_1k"),
        **{f"{name}_tokens_per_s_b32": rates[name] for name in rates if name != MATRIX},
        "attention_gflops_b32": added / max(long - short, 1e-9) / 1e9,
        "matrix_gflops": rates[MATRIX] / 1e9,
        "16k_vs_1k_at_matrix_rate_b32": short / (short + added / rates[MATRIX]),
    }


def _added_operations() -> float:
    """Multiplications and additions that the longer prefix adds to one step: a product with
    every key and one with every value."""
    num_keys = PREFIXES["16k"] - PREFIXES["1k"]
    return 4.0 * M197.num_layers * M197.num_heads * M197.head_dim * num_keys * BATCH

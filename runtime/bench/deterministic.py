"""``weft bench deterministic``: what deterministic mode costs where torch computes."""

from __future__ import annotations

import tempfile
import time
from contextlib import closing
from pathlib import Path

from weft.runtime.bench.contender import Contender, own_environment, start
from weft.runtime.bench.engine import bench_models
from weft.runtime.bench.field import Field
from weft.runtime.bench.findings import Findings
from weft.runtime.bench.options import BenchOptions
from weft.runtime.bench.workload import Workload

__all__ = ["bench_deterministic"]

BATCHES = (1, 8, 32)
PROMPT_TOKENS, MAX_CONTEXT = 4, 1024
SECONDS, FULL_SECONDS = 0.8, 2.0
"""How long the faster of the two should decode per round."""
DETERMINISTIC, DEFAULT = "weft", "default"
NATIVE = (
    "native path: deterministic mode has no price there to measure, because weft's own kernels "
    "give a token the same bits in every batch"
)


def bench_deterministic(options: BenchOptions) -> Findings:
    """weft on torch with deterministic mode beside weft on torch without, on ``mini`` and on a
    random 197M-parameter model.

    Figures: ``MODEL_deterministic_vs_default_bN`` is the rate of decoding with it over the rate
    without (below 1 is its price); ``…_tokens_per_s_bN`` are the rates. Weft's own kernels are
    left out: there both modes are the same.
    """
    findings = Findings()
    findings.missing.append(NATIVE)
    deadline = time.monotonic() + options.limit_s
    with tempfile.TemporaryDirectory(prefix="weft-bench-") as place:
        for folder in bench_models(Path(place), options.seed):
            _bench_model(findings, folder, options, deadline)
            _name_figures(findings, folder.name)
    return findings


def _bench_model(findings: Findings, folder: Path, options: BenchOptions, deadline: float) -> None:
    with closing(Field(findings, start=start, say=options.say)) as field:
        field.load(
            [_contender(DETERMINISTIC, "torch-deterministic"), _contender(DEFAULT, "torch")],
            folder,
            max_context=MAX_CONTEXT,
            max_batch=max(BATCHES),
            seed=options.seed,
        )
        for batch in BATCHES:
            workload = Workload(
                model=folder.name,
                phase="decode",
                batch=batch,
                prompt_tokens=PROMPT_TOKENS,
                seed=options.seed,
            )
            field.choose(workload)
            field.race(
                workload,
                num_rounds=options.rounds,
                seconds=FULL_SECONDS if options.is_full else SECONDS,
                may_go_on=lambda: time.monotonic() < deadline,
            )


def _contender(kind: str, mode: str) -> Contender:
    return Contender(
        kind=kind,
        script="weft_driver.py",
        dtype="auto",
        env=own_environment(),
        arguments=("stored", mode),
    )


def _name_figures(findings: Findings, model: str) -> None:
    for batch in BATCHES:
        names = {
            f"{model}_decode_vs_{DEFAULT}_b{batch}": "deterministic_vs_default",
            f"{model}_decode_{DETERMINISTIC}_tokens_per_s_b{batch}": "deterministic_tokens_per_s",
            f"{model}_decode_{DEFAULT}_tokens_per_s_b{batch}": "default_tokens_per_s",
        }
        for old, new in names.items():
            findings.rename(old, f"{model}_{new}_b{batch}")

"""``weft bench engine``: decode and prefill rates beside vLLM and transformers."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from weft.runtime.bench.checkpoint import M197, MINI_LIKE, write_checkpoint
from weft.runtime.bench.contender import Contender, engine_contenders, start
from weft.runtime.bench.field import Field
from weft.runtime.bench.findings import Findings
from weft.runtime.bench.options import BenchOptions
from weft.runtime.bench.workload import Workload

__all__ = ["BUNDLED", "bench_engine", "bench_models", "race_models"]

BATCHES = (1, 8, 32, 128)
MAX_CONTEXT = 1024
PROMPT_TOKENS, FULL_PROMPT_TOKENS = 8, 128
PREFILL_BATCH, PREFILL_PROMPT_TOKENS = 4, 256
SECONDS, FULL_SECONDS = 0.8, 3.0
"""How long the fastest contender should decode per round."""
PILOTS = {("decode", 1), ("decode", 8)}
"""Where the variants of a peer are tried: what emulating a dtype costs shows at 8 rows, and with
more rows it only grows."""
SLACK_S = 60.0
"""How far past its deadline a model's last workloads may still start."""
BUNDLED = Path(__file__).parents[1] / "assets" / "mini"


def bench_engine(options: BenchOptions) -> Findings:
    """Rates of every engine found, on ``mini`` and on a random 197M-parameter model.

    Figures: ``MODEL_decode_vs_PEER_bN`` and ``MODEL_prefill_vs_PEER`` are weft's rate over the
    peer's (above 1 weft is faster), ``…_tokens_per_s`` the rates. The peer ``bound`` is what
    the machine allows: ``MODEL_decode_b1_vs_bandwidth`` and ``MODEL_prefill_vs_matrix_rate`` are
    the shares of it that weft reaches.
    """
    findings = Findings()
    contenders, findings.missing = engine_contenders(options)
    race_models(findings, contenders, options, deadline=time.monotonic() + options.limit_s)
    return findings


def race_models(
    findings: Findings,
    contenders: list[Contender],
    options: BenchOptions,
    *,
    deadline: float,
    suffix: str = "",
) -> None:
    """Note the rates of ``contenders`` on both models, ``suffix`` put to the models' names;
    after ``deadline`` (of the monotonic clock) little more is begun."""
    with tempfile.TemporaryDirectory(prefix="weft-bench-") as place:
        for folder, share in zip(bench_models(Path(place), options.seed), (0.4, 1.0), strict=True):
            now, name = time.monotonic(), folder.name + suffix
            until = now + share * (deadline - now)
            _bench_model(findings, contenders, folder, name, options, until)
            _name_bounds(findings, name)


def _name_bounds(findings: Findings, model: str) -> None:
    """Call the two shares of the machine's limits by what limits there."""
    names = {
        f"{model}_decode_vs_bound_b1": f"{model}_decode_b1_vs_bandwidth",
        f"{model}_prefill_vs_bound": f"{model}_prefill_vs_matrix_rate",
    }
    for old, new in names.items():
        if old in findings.figures:
            findings.figures[new] = findings.figures.pop(old)


def bench_models(place: Path, seed: int) -> Iterator[Path]:
    """Checkpoint folders, each named as its figures are."""
    if (BUNDLED / "model.safetensors").exists():
        yield BUNDLED
    else:
        yield write_checkpoint(place / "mini", MINI_LIKE, seed=seed)
    yield write_checkpoint(place / "m197", M197, seed=seed)


def _bench_model(
    findings: Findings,
    contenders: list[Contender],
    folder: Path,
    name: str,
    options: BenchOptions,
    deadline: float,
) -> None:
    """Every workload on one model; after ``deadline`` each gets one round, later none."""
    field = Field(
        findings,
        start=start,
        may_go_on=lambda: time.monotonic() < deadline,
        say=options.say,
    )
    with field:
        field.load(
            contenders,
            folder,
            max_context=MAX_CONTEXT,
            max_batch=max(BATCHES),
            seed=options.seed,
        )
        for workload in _workloads(name, options):
            if time.monotonic() > deadline + SLACK_S:
                findings.missing.append(f"{workload.figure('…')}: no time left; ask for --full")
                continue
            field.race(
                workload,
                num_rounds=options.rounds,
                seconds=FULL_SECONDS if options.is_full else SECONDS,
                has_pilot=options.is_full or (workload.phase, workload.batch) in PILOTS,
            )


def _workloads(model: str, options: BenchOptions) -> Iterator[Workload]:
    prompt_tokens = FULL_PROMPT_TOKENS if options.is_full else PROMPT_TOKENS
    for batch in BATCHES:
        yield Workload(
            model=model,
            phase="decode",
            batch=batch,
            prompt_tokens=prompt_tokens,
            seed=options.seed,
        )
    yield Workload(
        model=model,
        phase="prefill",
        batch=PREFILL_BATCH,
        prompt_tokens=PREFILL_PROMPT_TOKENS,
        seed=options.seed,
    )

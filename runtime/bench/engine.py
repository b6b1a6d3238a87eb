"""``weft bench engine``: decode and prefill rates beside vLLM and transformers."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from weft.runtime.bench.checkpoint import M197, MINI_LIKE, QWEN3_1B7, Shape, write_checkpoint
from weft.runtime.bench.contender import Contender, engine_contenders, start
from weft.runtime.bench.field import Field
from weft.runtime.bench.findings import Findings
from weft.runtime.bench.options import BenchOptions
from weft.runtime.bench.selection import (
    GPU_MODELS,
    MODELS,
    Point,
    choose_models,
    choose_points,
)
from weft.runtime.bench.shares import TimeShares
from weft.runtime.bench.workload import Workload
from weft.runtime.machine import gpu_name

__all__ = ["BUNDLED", "bench_engine", "bench_models", "race_models"]

MAX_CONTEXT, GPU_MAX_CONTEXT, MAX_BATCH = 1024, 4096, 128
PROMPT_TOKENS, FULL_PROMPT_TOKENS = 4, 8
"""Few, because every decoding is timed with its prompts and once more without: 128 sequences
would prefill for longer than they decode."""
PREFILL_PROMPT_TOKENS, GPU_PREFILL_PROMPT_TOKENS = 256, 2048
"""Of the models for a GPU more: fewer rows would not fill it."""
SECONDS, FULL_SECONDS = 0.6, 2.0
"""How long the fastest contender should decode per round."""
TRIAL = Point("decode", 8)
"""Where the variants of a peer are tried first: what emulating a dtype costs shows at 8 rows, and
elsewhere a single trial may take half a minute."""
CHEAP = {Point("decode", 1), TRIAL}
WEIGHTS = {Point("decode", 1): 1.5, TRIAL: 1.5, Point("decode", MAX_BATCH): 2.5}
"""How long a workload takes relative to the others, where it is longer."""
OWN_DTYPE = {Point("decode", 1)}
"""Where peers also race in the checkpoint's own dtype if another is faster: elsewhere one round
in an emulated dtype takes longer than all others together."""
EMULATING = "transformers"
"""A peer that is always there; it has two dtypes where one is emulated."""
MINI_SHARE = 0.4
"""Of the time limit, at most, where another model follows."""
SLACK_S = 40.0
"""How far past its deadline a model's last workloads may still start."""
BUNDLED = Path(__file__).parents[1] / "assets" / "mini"
SHAPES: Mapping[str, Shape] = {"mini": MINI_LIKE, "m197": M197, "qwen3_1b7": QWEN3_1B7}


def bench_engine(
    options: BenchOptions,
    *,
    clock: Callable[[], float] = time.monotonic,
    find_gpu: Callable[[], str] = gpu_name,
) -> Findings:
    """Rates of every engine found, on ``mini`` and on a random 197M-parameter model; where
    ``find_gpu`` names one, on the GPU, and on a random model of 1.7B parameters too.

    Figures: ``MODEL_decode_vs_PEER_bN`` and ``MODEL_prefill_vs_PEER`` are weft's rate over the
    peer's in the dtype in which it is faster (above 1 weft is faster), ``…_vs_PEER_bf16…`` over
    the peer's in bfloat16, which the models are stored in; ``…_tokens_per_s`` are the rates. The
    peer ``bound`` is what the machine allows: ``MODEL_decode_b1_vs_bandwidth`` and
    ``MODEL_prefill_vs_matrix_rate`` are the shares of it that weft reaches.

    Raises InvalidRequest for a model or a workload that there is not.
    """
    findings = Findings()
    has_gpu = bool(find_gpu())
    models = choose_models(options.models, has_gpu=has_gpu)
    contenders, findings.missing = engine_contenders(options, has_gpu=has_gpu)
    if not options.is_full and len({one.dtype for one in contenders if one.kind == EMULATING}) > 1:
        findings.missing.append(
            "…_vs_PEER_bf16… beyond batch 1: bfloat16 is emulated here; --full measures it"
        )
    deadline = clock() + options.limit_s
    race_models(findings, contenders, options, models=models, deadline=deadline, clock=clock)
    return findings


def race_models(
    findings: Findings,
    contenders: list[Contender],
    options: BenchOptions,
    *,
    models: Sequence[str] = MODELS,
    deadline: float,
    suffix: str = "",
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Note the rates of ``contenders`` on ``models``, ``suffix`` put to their names; after
    ``deadline`` (of ``clock``) little more is begun. Raises InvalidRequest."""
    points = choose_points(options.workloads)
    with tempfile.TemporaryDirectory(prefix="weft-bench-") as place:
        for folder in bench_models(Path(place), options.seed, models):
            now, name = clock(), folder.name + suffix
            share = 1.0 if folder.name == models[-1] else MINI_SHARE
            until = now + share * (deadline - now)
            shares = TimeShares(until, [WEIGHTS.get(point, 1.0) for point in points], clock=clock)
            _bench_model(findings, contenders, folder, name, options, points, shares)
            _name_bounds(findings, name)


def _name_bounds(findings: Findings, model: str) -> None:
    """Call the two shares of the machine's limits by what limits there."""
    findings.rename(f"{model}_decode_vs_bound_b1", f"{model}_decode_b1_vs_bandwidth")
    findings.rename(f"{model}_prefill_vs_bound", f"{model}_prefill_vs_matrix_rate")


def bench_models(place: Path, seed: int, models: Sequence[str] = MODELS) -> Iterator[Path]:
    """Checkpoint folders, each named as its figures are."""
    for name in models:
        if name == "mini" and (BUNDLED / "model.safetensors").exists():
            yield BUNDLED
        else:
            yield write_checkpoint(place / name, SHAPES[name], seed=seed)


def _bench_model(
    findings: Findings,
    contenders: list[Contender],
    folder: Path,
    name: str,
    options: BenchOptions,
    points: Sequence[Point],
    shares: TimeShares,
) -> None:
    """The workloads chosen, on one model. The first round of each is measured even if its share
    of the time is over, until the deadline is long past."""
    with closing(Field(findings, start=start, say=options.say)) as field:
        max_context = GPU_MAX_CONTEXT if name in GPU_MODELS else MAX_CONTEXT
        field.load(
            contenders, folder, max_context=max_context, max_batch=MAX_BATCH, seed=options.seed
        )
        for point in points:
            workload, may_go_on = _workload(name, point, options), shares.begin()
            if shares.late_s > SLACK_S:
                findings.missing.append(f"{workload.figure('…')}: no time left for it")
                continue
            _choose(field, name, point, options)
            field.race(
                workload,
                num_rounds=options.rounds,
                seconds=FULL_SECONDS if options.is_full else SECONDS,
                may_go_on=may_go_on,
                has_own_dtype=options.is_full or point in OWN_DTYPE,
            )


def _choose(field: Field, name: str, point: Point, options: BenchOptions) -> None:
    if not field.has_chosen and point not in CHEAP:
        field.choose(_workload(name, TRIAL, options))
    field.choose(_workload(name, point, options))


def _workload(model: str, point: Point, options: BenchOptions) -> Workload:
    decodes_from = FULL_PROMPT_TOKENS if options.is_full else PROMPT_TOKENS
    prefills = GPU_PREFILL_PROMPT_TOKENS if model in GPU_MODELS else PREFILL_PROMPT_TOKENS
    return Workload(
        model=model,
        phase=point.phase,
        batch=point.batch,
        prompt_tokens=decodes_from if point.phase == "decode" else prefills,
        seed=options.seed,
    )

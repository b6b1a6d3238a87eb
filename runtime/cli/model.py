"""`weft model`: what a model is, and how well it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from weft.runtime.cli.engines import opened_engine
from weft.runtime.cli.evaluation import (
    EvalProblem,
    Evaluation,
    SkillScore,
    evaluate,
    load_problems,
)
from weft.runtime.cli.report import print_json
from weft.runtime.engine.config import KVDTypeName, WeightsName
from weft.runtime.engine.model import ModelInfo, open_checkpoint
from weft.runtime.model import MINI

__all__ = ["EvalOptions", "show_eval", "show_info"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalOptions:
    """What ``weft model eval`` was asked."""

    model: str
    skills: tuple[str, ...] = ()
    folder: Path | None = None
    """Of problem files; ``None`` is mini's own."""
    limit: int | None = None
    n: int = 0
    seed: int = 0
    weights: WeightsName = "stored"
    kv_dtype: KVDTypeName = "auto"


def show_info(name: str, *, as_json: bool) -> None:
    """Print the facts of a checkpoint. Raises ModelLoadError."""
    checkpoint = open_checkpoint(name)
    if as_json:
        print_json({"model": name, "folder": str(checkpoint.folder), **asdict(checkpoint.info)})
        return
    table = Table(box=None, show_header=False, padding=(0, 1), title=name, title_justify="left")
    for label, fact in _facts(checkpoint.info).items():
        table.add_row(label, fact)
    table.add_row("folder", str(checkpoint.folder))
    Console(highlight=False).print(table)


def show_eval(options: EvalOptions, *, as_json: bool) -> None:
    """Measure and print. Raises CallerError, ModelLoadError, EngineError."""
    problems = load_problems(options.folder or MINI / "heldout", options.skills, options.limit)
    scores = asyncio.run(_measure(options, problems))
    if as_json:
        skills = {score.skill: score.as_json() for score in scores}
        print_json({"model": options.model, "seed": options.seed, "skills": skills})
        return
    Console(highlight=False).print(_table(scores))


async def _measure(
    options: EvalOptions, problems: Mapping[str, list[EvalProblem]]
) -> list[SkillScore]:
    wanted = Evaluation(num_samples=options.n, seed=options.seed)
    opened = opened_engine(
        options.model, seed=options.seed, weights=options.weights, kv_dtype=options.kv_dtype
    )
    async with opened as engine:
        return [await evaluate(engine, few, wanted) for few in problems.values()]


def _table(scores: list[SkillScore]) -> Table:
    ks = list(scores[0].pass_at)
    table = Table("skill", "problems", "greedy", *(f"pass@{k}" for k in ks), box=None)
    for score in scores:
        shares = (score.greedy, *score.pass_at.values())
        table.add_row(score.skill, str(score.num_problems), *(f"{share:.1%}" for share in shares))
    return table


def _facts(info: ModelInfo) -> dict[str, str]:
    windows = {window for window in info.windows if window is not None}
    return {
        "architecture": f"{info.architecture} ({info.model_type})",
        "parameters": f"{info.num_parameters:,} in {info.dtype}",
        "layers": f"{info.num_layers}, hidden size {info.hidden_size}",
        "heads": f"{info.num_heads} of {info.head_dim}, {info.num_kv_heads} for keys and values",
        "vocabulary": f"{info.vocab_size:,}",
        "context": f"{info.max_context:,} tokens",
        "windows": ", ".join(map(str, sorted(windows))) or "none",
        "end tokens": ", ".join(map(str, info.eos_ids)) or "none",
    }

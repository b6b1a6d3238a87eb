"""``weft bench hogwild``: lanes that read each other, beside one that writes alone."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from weft.programs import gen, hogwild, program
from weft.programs.generate import GenOptions
from weft.runtime.bench.checkpoint import M197, write_checkpoint
from weft.runtime.bench.engine import BUNDLED
from weft.runtime.bench.findings import Findings
from weft.runtime.bench.interleave import interleave, median_ratio
from weft.runtime.bench.lists import SEEING, bench_lists
from weft.runtime.bench.options import BenchOptions
from weft.runtime.bench.widened import widen
from weft.runtime.engine import EngineConfig, open_engine
from weft.runtime.executor import Run

__all__ = ["bench_hogwild", "bench_rates"]

PROMPT, WRITTEN = 1024, 128
"""Tokens before the lanes, and of each lane."""
NUM_WIDENED, WIDENED_S = 6, 60.0
"""Lists of the widened model, and the seconds after which no further round of them begins."""
LANES: Mapping[str, int] = {"lanes1": 1, "lanes2": 2, "lanes4": 4}


def bench_hogwild(options: BenchOptions) -> Findings:
    """Figures ``lanes…``: tokens per second of teams on a random model of 197M parameters, see
    ``bench_rates``. Figures ``list8_…``: lists of sums that the bundled model's lanes share, see
    ``bench_lists``; ``list8_widened_…``: that model widened to 195M parameters, which says what it
    says at the cost of a model that people run."""
    findings = Findings()
    with tempfile.TemporaryDirectory(prefix="weft-bench-") as place:
        folder = write_checkpoint(Path(place) / "m197", M197, seed=options.seed)
        bench_rates(findings, options, folder=folder)
        bench_lists(findings, options, folder=BUNDLED)
        wide = widen(BUNDLED, Path(place) / "mini-195m", M197, seed=options.seed)
        bench_lists(
            findings,
            options,
            folder=wide,
            num=NUM_WIDENED,
            ways=SEEING,
            name="list8_widened",
            limit_s=WIDENED_S,
        )
    return findings


def bench_rates(
    findings: Findings,
    options: BenchOptions,
    *,
    folder: Path,
    prompt: int = PROMPT,
    written: int = WRITTEN,
) -> None:
    """Tokens per second of all lanes together, layout ``contiguous``, greedily, behind a prompt
    that is in the cache: ``lanes1_tokens_per_s`` … and, over one lane, ``lanes2_speedup``,
    ``lanes4_speedup``. ``alone_tokens_per_s`` is an ordinary ``gen``, without guesses."""
    deadline = time.monotonic() + options.limit_s
    names = ["alone", *LANES]
    with asyncio.Runner() as runner:
        config = EngineConfig(speculation="off")
        engine = runner.run(open_engine(str(folder), config=config, seed=options.seed))

        def measure(name: str, number: int) -> float:
            options.say(f"hogwild: {name}, round {number + 1}")
            lanes = LANES.get(name, 0)
            run = runner.run(Run.start(write, prompt, lanes, written, engine=engine))
            return max(1, lanes) * written / runner.run(run.result())

        for name in names:
            measure(name, -1)  # to warm up
        rates = interleave(
            names,
            measure,
            num_rounds=options.rounds,
            may_go_on=lambda: time.monotonic() < deadline,
        )
        runner.run(engine.close())
    num_rounds = len(rates["alone"])

    def note(name: str, value: float) -> None:
        findings.note(name, value, num_rounds=num_rounds, num_asked=options.rounds)

    note("lanes2_speedup", median_ratio(rates, "lanes2", "lanes1"))
    note("lanes4_speedup", median_ratio(rates, "lanes4", "lanes1"))
    note("lanes1_vs_alone", median_ratio(rates, "lanes1", "alone"))
    for name, found in rates.items():
        findings.rows.append(
            {
                "what": f"197M parameters, {name}, tokens per second",
                "num_rounds": num_rounds,
                "median": sorted(found)[num_rounds // 2],
                "lowest": min(found),
                "highest": max(found),
            }
        )


@program
async def write(prompt: int, lanes: int, written: int) -> float:
    """Seconds for ``lanes`` lanes, or without any one ``gen``, to write so many tokens each behind
    a prompt of that many: the model's tokens are bytes."""
    text = ("go on " * prompt)[:prompt]
    options: GenOptions = {
        "max_tokens": written,
        "ignore_eos": True,
        "temperature": 0.0,
        "is_raw": True,
    }
    started = time.perf_counter()
    if lanes == 0:
        await gen(text, **options)
    else:
        async with hogwild(text, lanes=lanes, lane_tokens=written + 32, **options) as team:
            await team.texts()
    return time.perf_counter() - started

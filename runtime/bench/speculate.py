"""``weft bench speculate``: what guessing ahead gains on text that agents write."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from weft.programs.grammar import GrammarSpec
from weft.runtime.bench.checkpoint import M197
from weft.runtime.bench.engine import BUNDLED
from weft.runtime.bench.findings import Findings
from weft.runtime.bench.interleave import interleave, median_ratio
from weft.runtime.bench.options import BenchOptions
from weft.runtime.bench.recorded import Turn, recorded_turns
from weft.runtime.bench.replay import Replayer
from weft.runtime.bench.shares import TimeShares
from weft.runtime.bench.widened import widen
from weft.runtime.engine import Engine

__all__ = ["MINI", "WIDENED", "Scene", "bench_speculate"]

STRINGS = GrammarSpec(
    kind="json_schema", text='{"type": "array", "items": {"type": "string"}, "minItems": 64}'
)
"""Of these a model writes on and on."""
MASK_BATCH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A model, and how much it is given to say: no turn is met twice, or guessing it would be
    too easy."""

    name: str
    prefix: str
    """Of its figures."""
    warm_turns: Mapping[int, int]
    """By batch: turns served before anything is measured; what was written is guessed from."""
    turns: Mapping[int, int]
    """By batch: most turns of a round."""
    mask_tokens: int
    weights: tuple[float, ...]
    """How long it takes to measure each batch and the masks, relative to one another and to the
    other scenes."""

    def sizes(self, num_turns: int, num_rounds: int) -> dict[int, int]:
        """By batch the turns of a round, fewer where ``num_turns`` are not enough for all."""
        num_left = num_turns - sum(self.warm_turns.values())
        share = min(1.0, num_left / (num_rounds * sum(self.turns.values())))
        return {batch: max(1, int(size * share)) for batch, size in self.turns.items()}


WIDENED = Scene(
    name="mini widened to 195M parameters",
    prefix="",
    warm_turns={32: 96, 1: 8},
    turns={1: 10, 32: 48},
    mask_tokens=33,
    weights=(4.0, 8.0, 4.0),
)
MINI = Scene(
    name="mini",
    prefix="mini_",
    warm_turns={32: 128, 1: 32},
    turns={1: 32, 32: 96},
    mask_tokens=65,
    weights=(1.0, 1.0, 1.0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    """What all measurements on one model share."""

    findings: Findings
    scene: Scene
    replayer: Replayer
    turns: Sequence[Turn]
    options: BenchOptions
    shares: TimeShares

    def note_figure(self, name: str, value: float, num_rounds: int) -> None:
        self.findings.note(
            self.scene.prefix + name,
            value,
            num_rounds=num_rounds,
            num_asked=self.options.rounds,
        )

    def note_row(self, what: str, values: Sequence[float], counts: Mapping[str, float]) -> None:
        self.findings.rows.append(
            {
                "model": self.scene.name,
                "what": what,
                "num_rounds": len(values),
                "median": statistics.median(values),
                "lowest": min(values),
                "highest": max(values),
                **counts,
            }
        )


def bench_speculate(
    options: BenchOptions, *, clock: Callable[[], float] = time.monotonic
) -> Findings:
    """Tokens per second with guesses and without, on one model, in turns.

    Figures: ``speculate_speedup_bN`` is the rate of decoding, prompts and set-up excluded, with
    guesses over the rate without, N turns at a time; ``speculate_served_speedup_bN`` is the same
    for all that serving a turn takes. ``grammar_tick_cost_b32`` is the time that masks add to a
    Tick of 32 sequences, as a share of it, without guesses.

    They are of mini widened to a size that people run, which says what mini says; ``mini_…`` are
    the same figures of mini itself, whose forward is so small that guessing and masking weigh as
    they do in no larger model.
    """
    findings = Findings()
    turns = recorded_turns(BUNDLED / "heldout", options.seed)
    shares = TimeShares(clock() + options.limit_s, [*WIDENED.weights, *MINI.weights], clock=clock)
    with tempfile.TemporaryDirectory(prefix="weft-bench-") as place, asyncio.Runner() as runner:
        wide = widen(BUNDLED, Path(place) / "mini-195m", M197, seed=options.seed)
        for scene, folder in ((WIDENED, wide), (MINI, BUNDLED)):
            _bench_scene(
                _Stage(
                    findings=findings,
                    scene=scene,
                    replayer=Replayer(runner, folder, options.seed),
                    turns=turns,
                    options=options,
                    shares=shares,
                )
            )
    return findings


def _bench_scene(stage: _Stage) -> None:
    say, scene = stage.options.say, stage.scene
    sizes = scene.sizes(len(stage.turns), stage.options.rounds)
    with stage.replayer.engine("auto") as guessing, stage.replayer.engine("off") as plain:
        engines = {"auto": guessing, "off": plain}
        say(f"{scene.name}: warming up")
        place = _warm(stage, engines)
        for batch, size in sizes.items():
            say(f"{scene.name} at batch {batch}, with guesses and without")
            _bench_batch(stage, engines, stage.turns[place:], batch, size)
            place += size * stage.options.rounds
        say(f"{scene.name} at batch {MASK_BATCH}, with masks and without")
        _bench_masks(stage, plain)


def _warm(stage: _Stage, engines: Mapping[str, Engine]) -> int:
    """Serve the turns before the first measured one; returns how many."""
    place = 0
    for batch, size in stage.scene.warm_turns.items():
        for engine in engines.values():
            stage.replayer.replay(engine, stage.turns[place : place + size], batch)
        place += size
    return place


def _bench_batch(
    stage: _Stage, engines: Mapping[str, Engine], turns: Sequence[Turn], batch: int, size: int
) -> None:
    served: dict[str, list[float]] = {name: [] for name in engines}
    counts = {name: _Counts(engine) for name, engine in engines.items()}

    def measure(name: str, number: int) -> float:
        some = turns[number * size : (number + 1) * size]
        replay = stage.replayer.replay(engines[name], some, batch)
        served[name].append(replay.num_tokens / replay.seconds)
        return replay.num_decoded / replay.decode_s

    decoded = interleave(
        list(engines), measure, num_rounds=stage.options.rounds, may_go_on=stage.shares.begin()
    )
    for name in engines:
        what = f"batch {batch}, speculation {name}"
        stage.note_row(f"{what}, served tokens/s", served[name], counts[name].per_tick())
    for figure, rates in (("speedup", decoded), ("served_speedup", served)):
        ratio = median_ratio(rates, "auto", "off")
        stage.note_figure(f"speculate_{figure}_b{batch}", ratio, len(rates["auto"]))


def _bench_masks(stage: _Stage, engine: Engine) -> None:
    """By difference, so that prompts and set-up do not count."""
    grammars = {"masks": STRINGS, "free": None}
    turns, num_tokens = stage.turns[:MASK_BATCH], stage.scene.mask_tokens

    def measure(name: str, number: int) -> float:
        first = stage.replayer.seconds(engine, turns, 1, grammars[name])
        return stage.replayer.seconds(engine, turns, num_tokens, grammars[name]) - first

    for name in grammars:
        measure(name, -1)
    seconds = interleave(
        list(grammars), measure, num_rounds=stage.options.rounds, may_go_on=stage.shares.begin()
    )
    for name, values in seconds.items():
        ticks = [value / (num_tokens - 1) for value in values]
        stage.note_row(f"batch {MASK_BATCH}, {name}, seconds per Tick", ticks, {})
    cost = median_ratio(seconds, "masks", "free") - 1
    stage.note_figure(f"grammar_tick_cost_b{MASK_BATCH}", cost, len(seconds["masks"]))


class _Counts:
    """What an engine counts from now on, per Tick."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._before = engine.stats()

    def per_tick(self) -> dict[str, float]:
        now, before = self._engine.stats(), self._before
        num_ticks = now.num_ticks - before.num_ticks
        numbers = {
            "tokens_per_tick": now.num_generated_tokens - before.num_generated_tokens,
            "guessed_per_tick": now.num_guessed_tokens - before.num_guessed_tokens,
            "accepted_per_tick": now.num_accepted_tokens - before.num_accepted_tokens,
            "forced_per_tick": now.num_forced_tokens - before.num_forced_tokens,
        }
        return {name: number / num_ticks for name, number in numbers.items()}

"""The speculation bench: what it replays, and its arithmetic on engines that need no model."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from pathlib import Path

import pytest

from weft.runtime.bench import replay, speculate
from weft.runtime.bench.checkpoint import M197, Shape
from weft.runtime.bench.engine import BUNDLED
from weft.runtime.bench.options import BenchOptions
from weft.runtime.bench.recorded import recorded_turns
from weft.runtime.engine import Engine, EngineConfig
from weft.runtime.engine.protocol import EngineStats
from weft.runtime.testing import Reply, ScriptedEngine

HELDOUT = BUNDLED / "heldout"


class Counted(ScriptedEngine):
    """Says how many Ticks it would have taken: three tokens in each."""

    num_asked = 0

    def stats(self) -> EngineStats:
        self.num_asked += 1
        return EngineStats(num_generated_tokens=30 * self.num_asked, num_ticks=10 * self.num_asked)


def test_turns_are_those_recorded_in_an_order_of_the_seed() -> None:
    turns = recorded_turns(HELDOUT, 0)
    assert len(turns) == 800
    assert recorded_turns(HELDOUT, 0) == turns != recorded_turns(HELDOUT, 1)
    kinds = Counter(None if turn.grammar is None else turn.grammar.kind for turn in turns)
    assert kinds["json_schema"] == 200
    assert kinds["structural_tag"] == sum(bool(turn.tools) for turn in turns) > 100


class Opened:
    """The engines a bench has opened, by model."""

    def __init__(self) -> None:
        self.engines: dict[str, list[ScriptedEngine]] = {}
        self.modes: list[str] = []

    async def open(self, name: str, *, config: EngineConfig, seed: int) -> Engine:
        await asyncio.sleep(0)
        engine = Counted(lambda prompted: Reply(text=prompted.text[:20], chunk=3))
        self.engines.setdefault(Path(name).name, []).append(engine)
        self.modes.append(config.speculation)
        return engine


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    """Engines that need no model, and a model widened in no time."""
    engines = Opened()

    def widened(source: Path, folder: Path, shape: Shape, *, seed: int) -> Path:
        assert (source, shape) == (BUNDLED, M197)
        return folder

    monkeypatch.setattr(replay, "open_engine", engines.open)
    monkeypatch.setattr(speculate, "widen", widened)
    return engines


FIGURES = {
    "speculate_speedup_b1",
    "speculate_speedup_b32",
    "speculate_served_speedup_b1",
    "speculate_served_speedup_b32",
    "grammar_tick_cost_b32",
}


def test_every_figure_is_there_of_both_models(opened: Opened) -> None:
    findings = speculate.bench_speculate(BenchOptions(num_rounds=1))
    assert set(findings.figures) == FIGURES | {f"mini_{name}" for name in FIGURES}
    assert {(basis.num_rounds, basis.num_asked) for basis in findings.basis.values()} == {(1, 1)}
    assert list(opened.engines) == ["mini-195m", "mini"]
    assert opened.modes == ["auto", "off"] * 2
    assert {row["tokens_per_tick"] for row in findings.rows if "tokens_per_tick" in row} == {3.0}


def test_both_engines_serve_the_same_turns_and_none_twice(opened: Opened) -> None:
    speculate.bench_speculate(BenchOptions(num_rounds=1))
    for name, scene in (("mini-195m", speculate.WIDENED), ("mini", speculate.MINI)):
        guessing, plain = opened.engines[name]
        num_turns = sum(scene.warm_turns.values()) + sum(scene.turns.values())
        served = guessing.prompts
        assert len(served) == num_turns
        assert plain.prompts[:num_turns] == served
        num_warm = sum(scene.warm_turns.values())
        assert not set(served[:num_warm]) & set(served[num_warm:])


@pytest.mark.parametrize("scene", [speculate.WIDENED, speculate.MINI], ids=["widened", "mini"])
def test_turns_last_for_any_number_of_rounds(scene: speculate.Scene) -> None:
    num_warm = sum(scene.warm_turns.values())
    assert scene.sizes(800, 5) == scene.turns
    for num_rounds in (9, 30):
        sizes = scene.sizes(800, num_rounds)
        assert num_warm + num_rounds * sum(sizes.values()) <= 800
        assert all(size >= 1 for size in sizes.values())


@pytest.mark.usefixtures("opened")
def test_a_bench_that_runs_out_of_time_marks_its_figures() -> None:
    ticks = itertools.count(0.0, 1000.0)
    findings = speculate.bench_speculate(BenchOptions(num_rounds=2), clock=lambda: next(ticks))
    assert set(findings.basis) == set(findings.figures)
    assert all(basis.is_short and basis.num_rounds == 1 for basis in findings.basis.values())

"""The speculation bench: what it replays, and its arithmetic on engines that need no model."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from weft.runtime.bench import speculate
from weft.runtime.bench.options import BenchOptions
from weft.runtime.bench.recorded import recorded_turns
from weft.runtime.engine import Engine, EngineConfig
from weft.runtime.engine.protocol import EngineStats
from weft.runtime.testing import Reply, ScriptedEngine

HELDOUT = speculate.MINI / "heldout"


class Counted(ScriptedEngine):
    """Says how many Ticks it would have taken, and remembers how many Requests ran at once."""

    most_active = 0

    def stats(self) -> EngineStats:
        type(self).most_active = max(self.most_active, self.num_active)
        return EngineStats(num_generated_tokens=30, num_ticks=10, num_accepted_tokens=20)


def test_turns_are_those_recorded_in_an_order_of_the_seed() -> None:
    turns = recorded_turns(HELDOUT, 0)
    assert len(turns) == 800
    assert recorded_turns(HELDOUT, 0) == turns != recorded_turns(HELDOUT, 1)
    kinds = Counter(None if turn.grammar is None else turn.grammar.kind for turn in turns)
    assert kinds["json_schema"] == 200
    assert kinds["structural_tag"] == sum(bool(turn.tools) for turn in turns) > 100


def test_every_figure_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    engines: list[ScriptedEngine] = []
    modes: list[str] = []

    async def opened(name: str, *, config: EngineConfig, seed: int) -> Engine:
        await asyncio.sleep(0)
        modes.append(config.speculation)
        engines.append(Counted(lambda prompted: Reply(text=prompted.text[:20], chunk=3)))
        return engines[-1]

    monkeypatch.setattr(speculate, "open_engine", opened)
    findings = speculate.bench_speculate(BenchOptions(num_rounds=1))
    assert set(findings.figures) == {
        "speculate_speedup_b1",
        "speculate_speedup_b32",
        "speculate_served_speedup_b1",
        "speculate_served_speedup_b32",
        "grammar_tick_cost_b32",
    }
    assert modes == ["auto", "off", "auto", "off", "off"]
    assert {row["tokens_per_tick"] for row in findings.rows if "tokens_per_tick" in row} == {3.0}
    for with_guesses, without in (engines[0:2], engines[2:4]):
        assert [one.prompt for one in with_guesses.requests] == [
            one.prompt for one in without.requests
        ]
        prompts = with_guesses.prompts
        assert len(prompts) == speculate.NUM_WARM + speculate.MAX_TURNS
        assert not set(prompts[: speculate.NUM_WARM]) & set(prompts[speculate.NUM_WARM :])

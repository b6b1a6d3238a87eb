from __future__ import annotations

import pytest

from examples.confined_check import NUM_PLAYERS, confined_check
from weft.runtime.engine import EngineConfig, open_engine
from weft.runtime.executor import Run
from weft.runtime.testing import Prompted, ScriptedEngine
from weft.tools.sandbox import SandboxLevel, probe

pytestmark = pytest.mark.skipif(probe().level == SandboxLevel.NONE, reason="no sandbox here")


async def test_proposals_are_counted_and_computed() -> None:
    def say(prompted: Prompted) -> str:
        return ["3+5", "8*12", "3+5", "9/0", "5-3", "3+5"][prompted.index]

    run = await Run.start(confined_check, engine=ScriptedEngine(say))
    found = await run.result()
    assert found.proposals == ["3+5", "8*12", "3+5", "9/0", "5-3", "3+5"]
    lines = [line.split() for line in found.counted.splitlines()]
    assert lines[0] == ["3", "3+5"] and len(lines) == 4
    assert found.values == "{'3+5': 8, '5-3': 2, '8*12': 96, '9/0': None}"
    names = [node.rpartition("/")[2] for node in run.graph().nodes]
    assert {"write_file", "shell", "python", "python#2"} <= set(names)


@pytest.mark.slow
async def test_mini_proposes_what_can_be_computed() -> None:
    engine = await open_engine("mini", config=EngineConfig(kv_bytes=64 << 20))
    try:
        run = await Run.start(confined_check, engine=engine, seed=3)
        found = await run.result()
    finally:
        await engine.close()
    assert len(found.proposals) == NUM_PLAYERS
    assert all(f"'{one}': " in found.values for one in found.proposals)
    assert 0 <= found.hidden_share <= 1

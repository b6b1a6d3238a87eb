from __future__ import annotations

import pytest

from examples.parallel_tools import REQUEST, Trip, parallel_tools
from weft.runtime.engine import EngineConfig, open_engine
from weft.runtime.executor import Run
from weft.runtime.observe.event import TokenEvent
from weft.runtime.testing import Prompted, Reply, ScriptedEngine

ARGUMENTS = ("passenger", "origin", "destination", "hotel")


def say(prompted: Prompted) -> Reply:
    """Every value is the argument's name, letter by letter."""
    asked = prompted.text.rstrip()
    gap, end = ("", "}") if prompted.text.endswith(" ") else (" ", ",")
    argument = asked.removesuffix('":').rpartition('"')[2]
    value = "book_trip" if argument == "name" else argument.upper()
    return Reply(text=f'{gap}"{value}"{end}', chunk=1)


@pytest.mark.parametrize("heads", [False, True])
async def test_the_call_is_filled_in_by_branches_and_made(heads: bool) -> None:
    run = await Run.start(parallel_tools, REQUEST, heads, engine=ScriptedEngine(say))
    assert await run.result() == Trip(
        passenger="PASSENGER", origin="ORIGIN", destination="DESTINATION", hotel="HOTEL"
    )
    assert f"{parallel_tools.name}/book_trip" in run.graph().nodes


@pytest.mark.slow
async def test_mini_writes_all_arguments_at_the_same_time() -> None:
    written: list[str] = []

    def observe(event: object) -> None:
        if isinstance(event, TokenEvent):
            written.append(event.lineage.rpartition("/")[2])

    engine = await open_engine("mini", config=EngineConfig(kv_bytes=64 << 20))
    try:
        run = await Run.start(parallel_tools, engine=engine, observers=[observe])
        await run.result()
    finally:
        await engine.close()
    places = [[at for at, name in enumerate(written) if name == one] for one in ARGUMENTS]
    if all(places):  # the model may have chosen the other tool
        assert max(place[0] for place in places) < min(place[-1] for place in places)

"""Generations whose text ends with the stop string that ended them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.engines import opened
from weft.programs import gen, program
from weft.runtime.engine import EngineConfig
from weft.runtime.executor import Run
from weft.runtime.observe.event import TokenEvent
from weft.runtime.testing import Reply, ScriptedEngine


@pytest.mark.parametrize(
    ("stops", "max_tokens", "wanted"),
    [
        ((" two",), 20, "one two"),
        (("three", "wo"), 20, "one two"),
        (("four",), 20, "one two three"),
        ((" two",), 5, "one t"),
        ((), 20, "one two three"),
    ],
)
async def test_the_stop_string_is_told_and_kept(
    stops: tuple[str, ...], max_tokens: int, wanted: str
) -> None:
    told: list[str] = []

    @program
    async def main() -> list[str]:
        return await gen("x", n=2, stop=stops, keeps_stop=True, max_tokens=max_tokens)

    def observe(event: object) -> None:
        if isinstance(event, TokenEvent) and event.index == 1:
            told.append(event.text)

    engine = ScriptedEngine(lambda _: Reply(text="one two three", chunk=2))
    run = await Run.start(main, engine=engine, observers=[observe])
    assert await run.result() == [wanted] * 2
    assert "".join(told) == wanted


async def test_a_model_too(tiny_checkpoint: Path) -> None:
    """Any part of what it writes may be the stop string, in the middle of a token or not."""

    @program
    async def main(stop: tuple[str, ...], keeps_stop: bool) -> str:
        return await gen("x", is_raw=True, seed=3, stop=stop, keeps_stop=keeps_stop, max_tokens=24)

    config = EngineConfig(kv_bytes=1 << 18)
    async with opened(tiny_checkpoint, config) as engine:
        whole = await (await Run.start(main, (), False, engine=engine)).result()
        for start in range(0, len(whole) - 2, 9):
            stop = whole[start : start + 2]
            ended = [
                await (await Run.start(main, (stop,), keeps, engine=engine)).result()
                for keeps in (False, True)
            ]
            assert ended == [whole.partition(stop)[0], whole.partition(stop)[0] + stop]

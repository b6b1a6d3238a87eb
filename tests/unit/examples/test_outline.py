from __future__ import annotations

import pytest

from examples.outline import REQUEST, outline
from weft.runtime.engine import EngineConfig, open_engine
from weft.runtime.executor import Run
from weft.runtime.observe.event import TokenEvent
from weft.runtime.testing import Prompted, Reply, ScriptedEngine

PLAN = "<Goal>\n<Outline> 1: lamps</Outline>\n<Outline> 2: pans</Outline>\n</Goal>"
ANSWERS = {
    "total?": PLAN,
    "<Path> 1:": " lamps cost 3 * 4 = 12</Path>",
    "<Path> 2:": " pans cost 2 * 9 = 18</Path>",
    "<Conclusion>": " 1: 12, 2: 18\n12 + 18 = 30\ntotal: 30</Conclusion>",
}


def say(prompted: Prompted) -> Reply:
    """As a model writes that has learnt to plan."""
    said = next(answer for end, answer in ANSWERS.items() if prompted.text.endswith(end))
    return Reply(text=said, chunk=1)


@pytest.mark.parametrize("how", ["shared", "text"])
async def test_the_parts_are_written_by_branches_and_counted(how: str) -> None:
    run = await Run.start(outline, REQUEST, how, engine=ScriptedEngine(say))
    text, told = (await run.result()).split("\n\n")
    paths = f"<Path> 1:{ANSWERS['<Path> 1:']}<Path> 2:{ANSWERS['<Path> 2:']}"
    assert text == f"{PLAN}{paths}<Conclusion>{ANSWERS['<Conclusion>']}"
    lengths = [len(ANSWERS[f"<Path> {number}:"]) for number in (1, 2)]
    total = sum(map(len, ANSWERS.values()))
    critical = total - min(lengths)
    assert told.splitlines() == [
        f"1. lamps: {lengths[0]} tokens",
        f"2. pans: {lengths[1]} tokens",
        f"{total} tokens, {critical} of them one after the other: "
        f"{1 - critical / total:.0%} cost no time of their own.",
    ]
    names = [node.rpartition("/")[2] for node in run.graph().nodes]
    assert {"branch 1", "branch 2"} <= set(names)


async def test_a_model_that_plans_nothing_is_told_of_as_such() -> None:
    engine = ScriptedEngine(lambda _: "The total is 40.")
    run = await Run.start(outline, engine=engine)
    text, told = (await run.result()).split("\n\n")
    assert text == "The total is 40."
    assert told.startswith("The model planned no parallel parts")


@pytest.mark.slow
async def test_mini_writes_the_parts_at_the_same_time() -> None:
    written: list[str] = []

    def observe(event: object) -> None:
        if isinstance(event, TokenEvent):
            written.append(event.lineage.rpartition("/")[2])

    engine = await open_engine("mini", config=EngineConfig(kv_bytes=64 << 20))
    try:
        run = await Run.start(outline, engine=engine, observers=[observe])
        assert await run.result()
    finally:
        await engine.close()
    places = [
        [at for at, name in enumerate(written) if name == branch]
        for branch in sorted(set(written))
        if branch.startswith("branch")
    ]
    if places:  # the model may have planned nothing
        assert max(place[0] for place in places) < min(place[-1] for place in places)

"""race, pmap, vote and best: right choices, and losers ended in the engine."""

from __future__ import annotations

import asyncio

import pytest

from weft.errors import EngineError, InvalidRequest, OutputInvalid
from weft.programs import Step, gen, pmap, program, race, verifier, vote
from weft.runtime.executor import Run
from weft.runtime.testing import Prompted, Reply, ScriptedEngine, Sequencer, settle


def gated(gates: Sequencer, **texts: str) -> ScriptedEngine:
    """Sequence ``i`` of a prompt waits at ``prompt`` or ``prompt:i``; texts give answers."""

    def script(prompted: Prompted) -> Reply:
        text = prompted.text.removeprefix("user: ")
        if text.startswith("fail"):
            return Reply(error=EngineError(text))
        name = text if prompted.request.n == 1 else f"{text}{prompted.index}"
        return Reply(text=texts.get(name, name), wait=lambda: gates.wait(name))

    return ScriptedEngine(script)


async def test_race_gives_the_first_success_and_cancels_the_losers() -> None:
    gates = Sequencer()
    engine = gated(gates)

    @program
    async def compete() -> str:
        return await race(gen("a"), gen("fail"), gen("b"))

    run = await Run.start(compete, engine=engine, run_id="r")
    await settle()
    gates.open("b")
    assert await run.result() == "b"
    assert engine.closed == ["r/compete/gen"]
    assert engine.num_active == 0


async def test_race_of_coroutines_cancels_what_a_losing_branch_submitted() -> None:
    gates = Sequencer()
    engine = gated(gates)
    seen: list[int] = []

    async def branch(text: str) -> str:
        return await gen(text) + await gen(text)

    @program
    async def compete() -> str:
        winner = await race(branch("a"), branch("b"))
        seen.append(engine.num_active)
        return winner

    run = await Run.start(compete, engine=engine)
    await settle()
    gates.open("a")
    assert await run.result() == "aa"
    await settle()
    assert engine.num_active == 0
    assert [one for one in run.graph() if one.endswith("gen")] == [
        "compete/branch/gen",
        "compete/branch#2/gen",
    ]


async def test_race_with_failures_only_raises_the_first_with_notes() -> None:
    @program
    async def compete() -> str:
        return await race(gen("fail one"), gen("fail two"))

    run = await Run.start(compete, engine=gated(Sequencer()))
    with pytest.raises(EngineError, match="fail one") as caught:
        await run.result()
    assert "fail two" in caught.value.__notes__[0]


async def test_a_race_coroutine_that_never_starts_is_closed() -> None:
    async def branch() -> str:
        return await gen("x")

    @program
    async def compete() -> str:
        contest = race(branch(), branch())
        contest.cancel()
        return "left"

    # An un-awaited coroutine would warn, and warnings are errors here.
    assert await (await Run.start(compete, engine=ScriptedEngine())).result() == "left"


async def test_pmap_keeps_order_and_respects_the_limit() -> None:
    gates = Sequencer()
    engine = gated(gates)

    @program
    async def spread() -> list[str]:
        return await pmap(lambda item: gen(item), ["a", "b", "c", "d"], limit=2)

    run = await Run.start(spread, engine=engine)
    await settle()
    assert engine.num_active == 2
    gates.open("b")
    await settle()
    assert gates.reached == ["a", "b", "c"]
    for name in ("d", "c", "a"):
        gates.open(name)
    assert await run.result() == ["a", "b", "c", "d"]


async def test_pmap_over_a_step_is_a_data_edge() -> None:
    @program
    async def spread() -> list[str]:
        items: Step[list[str]] = gen("list", out=list[str])
        return await pmap(lambda item: gen(item, is_raw=True), items)

    def script(prompted: Prompted) -> str:
        return '["x", "y"]' if "list" in prompted.text else prompted.text * 2

    run = await Run.start(spread, engine=ScriptedEngine(script))
    assert await run.result() == ["xx", "yy"]
    assert run.graph().edges["spread/gen", "spread/pmap"]["kind"] == "data"


async def test_a_failing_item_cancels_the_others() -> None:
    gates = Sequencer()
    engine = gated(gates)

    @program
    async def spread() -> list[str]:
        return await pmap(lambda item: gen(item), ["a", "fail", "b"])

    run = await Run.start(spread, engine=engine)
    with pytest.raises(EngineError):
        await run.result()
    assert len(engine.closed) == 2
    assert engine.num_active == 0


async def test_vote_stops_when_the_leader_cannot_be_caught() -> None:
    gates = Sequencer()
    engine = gated(gates, v0="x", v1="y", v2="x", v3="x", v4="y")

    @program
    async def elect() -> str:
        return await gen("v", n=5).vote()

    run = await Run.start(elect, engine=engine, run_id="r")
    for name in ("v0", "v2"):
        await settle()
        gates.open(name)
    await settle()
    assert run.status == "running"
    gates.open("v3")
    assert await run.result() == "x"
    assert sorted(engine.cancelled) == [("r/elect/gen", 1), ("r/elect/gen", 4)]


async def test_vote_over_steps_with_a_key() -> None:
    @program
    async def elect() -> str:
        return await vote([gen("Yes "), gen("no"), gen("yes")], key=lambda one: one.strip().lower())

    engine = ScriptedEngine(lambda prompted: prompted.text.removeprefix("user: "))
    assert await (await Run.start(elect, engine=engine)).result() == "Yes "


async def test_vote_leaves_invalid_output_out() -> None:
    answers = ["oops", "2", "1", "2"]

    @program
    async def elect() -> int:
        return await vote(gen("x", out=int, n=4))

    engine = ScriptedEngine(lambda prompted: answers[prompted.index])
    assert await (await Run.start(elect, engine=engine)).result() == 2


async def test_best_takes_the_highest_score() -> None:
    @verifier
    def length(text: str) -> float:
        return float(len(text))

    @program
    async def choose() -> str:
        return await gen("x", n=3).best(by=length)

    engine = ScriptedEngine(lambda prompted: "abcd"[: [2, 4, 3][prompted.index]])
    assert await (await Run.start(choose, engine=engine)).result() == "abcd"


async def test_best_stops_at_the_first_proof() -> None:
    gates = Sequencer()
    engine = gated(gates, c0="bad", c1="good", c2="good")

    @verifier
    def is_good(text: str) -> bool:
        return text == "good"

    @program
    async def choose() -> str:
        return await gen("c", n=4).best(by=is_good, stop_at=1.0)

    run = await Run.start(choose, engine=engine, run_id="r")
    await settle()
    gates.open("c0")
    await settle()
    assert run.status == "running"
    gates.open("c2")
    assert await run.result() == "good"
    assert sorted(engine.cancelled) == [("r/choose/gen", 1), ("r/choose/gen", 3)]
    judged = [one for one in run.graph() if "is_good" in one]
    assert judged == ["choose/best/is_good[0]", "choose/best/is_good[2]"]
    assert run.budget.value_calls == 2


async def test_best_judges_while_others_still_write() -> None:
    gates = Sequencer()
    engine = gated(gates)
    judged: list[str] = []

    @verifier
    async def slow_judge(text: str) -> float:
        judged.append(text)
        await gates.wait(f"judge {text}")
        return {"c0": 1.0, "c1": 2.0}[text]

    @program
    async def choose() -> str:
        return await gen("c", n=2).best(by=slow_judge)

    run = await Run.start(choose, engine=engine)
    await settle()
    gates.open("c1")
    await settle()
    assert judged == ["c1"]
    for name in ("c0", "judge c0", "judge c1"):
        gates.open(name)
    assert await run.result() == "c1"


async def test_candidates_come_as_they_end_and_can_be_stopped() -> None:
    gates = Sequencer()
    engine = gated(gates)

    @program
    async def take_two() -> list[str]:
        texts: list[str] = []
        candidates = gen("c", n=4)
        async for text in candidates:
            texts.append(text)
            if len(texts) == 2:
                candidates.stop()
                break
        return texts + await candidates

    run = await Run.start(take_two, engine=engine)
    for name in ("c2", "c0"):
        await settle()
        gates.open(name)
    # First as they came, then the Step's own result: by index.
    assert await run.result() == ["c2", "c0", "c0", "c2"]
    assert [index for _, index in engine.cancelled] == [1, 3]


async def test_when_no_candidate_is_valid_the_first_error_is_raised() -> None:
    @program
    async def hopeless() -> int:
        return await gen("x", out=int, n=3).vote()

    with pytest.raises(OutputInvalid, match="'a0'"):
        run = await Run.start(
            hopeless, engine=ScriptedEngine(lambda prompted: f"a{prompted.index}")
        )
        await run.result()


@pytest.mark.parametrize("n", [0, -1, 10**9])
async def test_an_impossible_n_is_refused(n: int) -> None:
    @program
    async def ask() -> list[str]:
        return await gen("x", n=n)

    with pytest.raises(InvalidRequest, match=f"n is {n}"):
        await (await Run.start(ask, engine=ScriptedEngine())).result()


async def test_empty_combinations_are_refused() -> None:
    @program
    async def nothing() -> str:
        return await race()

    with pytest.raises(InvalidRequest, match="no branches"):
        await (await Run.start(nothing, engine=ScriptedEngine())).result()


async def test_gather_of_candidates_and_steps() -> None:
    @program
    async def mixed() -> tuple[str, list[str]]:
        one, several = await asyncio.gather(gen("a", is_raw=True), gen("b", n=2, is_raw=True))
        return one, several

    assert await (await Run.start(mixed, engine=ScriptedEngine())).result() == ("a", ["b", "b"])

"""Programs whose text forks into branches and joins them again."""

from __future__ import annotations

import shutil
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.support.engines import opened
from tests.support.tiny import build_checkpoint
from weft.errors import InvalidRequest, UnsupportedFeature
from weft.programs import Context, context, gen, join, program
from weft.programs.context import Joining
from weft.programs.past import Past, Segment
from weft.programs.request import Delta, Request
from weft.runtime.engine import Capabilities, EngineConfig
from weft.runtime.executor import Run
from weft.runtime.testing import ScriptedEngine

CONFIG = EngineConfig(kv_bytes=1 << 21, max_running=16, max_batch_tokens=64)


async def test_branches_go_on_from_one_text_and_are_joined_as_text() -> None:
    @program
    async def outline() -> str:
        start = context("Name two.")
        plan = start.write(gen(start, stop="\n"), "\n")
        one, two = plan.fork(["1:", "2:"])
        branches = [one.write(gen(one)), two.write(gen(two), ".")]
        return await gen(join(branches).write(" So"))

    answers = {"user: Name two.": "a, b", "1:": " first", "2:": " second", " So": " both"}
    engine = ScriptedEngine(
        lambda asked: next(answers[end] for end in answers if asked.text.endswith(end))
    )
    run = await Run.start(outline, engine=engine)
    assert await run.result() == " both"
    assert engine.prompts[1:] == [
        "user: Name two.a, b\n1:",
        "user: Name two.a, b\n2:",
        "user: Name two.a, b\n1: first2: second. So",
    ]
    # Edges of data: both branches wait for the plan, the end for both of them.
    graph = run.graph()
    into = {node: {edge[0] for edge in graph.in_edges(node)} for node in graph.nodes}
    assert into["outline/gen#4"] >= {"outline/gen#2", "outline/gen#3"}


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
@pytest.mark.parametrize("how", ["text", "shared", "rotated"])
async def test_the_engine_gets_the_very_tokens_of_the_branches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: Joining
) -> None:
    """A random model's tokens are rarely those that their text would be encoded as."""
    drawn: list[tuple[int, ...]] = []

    @program
    async def joined() -> str:
        start = context("Say words.", is_raw=True)
        branches = start.fork(["<0>", "<1>", "<2>"])
        steps = [
            gen(one, seed=at, max_tokens=9, ignore_eos=True) for at, one in enumerate(branches)
        ]
        written = [one.write(step) for one, step in zip(branches, steps, strict=True)]
        await gen(join(written, how=how).write(" end "), max_tokens=3, temperature=0)
        drawn.extend(step.completions[0].token_ids for step in steps)
        return "done"

    asked: list[Request] = []
    async with opened(build_checkpoint(tmp_path, head_dim=16), CONFIG) as engine:
        submit = engine.submit

        def watch(request: Request) -> AsyncGenerator[Delta, None]:
            asked.append(request)
            return submit(request)

        monkeypatch.setattr(engine, "submit", watch)
        await (await Run.start(joined, engine=engine)).result()
        start, end = engine.encode("Say words."), engine.encode(" end ")
        branches = [(*engine.encode(f"<{at}>"), *tokens) for at, tokens in enumerate(drawn)]
    last = asked[-1]
    if how == "text":
        assert last.past is None
        assert last.prompt == (*start, *(token for one in branches for token in one), *end)
    else:
        segments = (Segment(tokens=start), *(Segment(tokens=b, parents=(0,)) for b in branches))
        assert last.past == Past(segments=segments, parents=(1, 2, 3), placing=how)
        assert last.prompt == end


def test_what_is_no_join() -> None:
    start = context("x")
    one, two = start.fork(2)
    with pytest.raises(InvalidRequest, match="No branch"):
        join([])
    with pytest.raises(InvalidRequest, match="how is 'sideways'"):
        join([one, two], how="sideways")  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="do not come from one fork"):
        join([one, *one.write("y").fork(1)])
    with pytest.raises(InvalidRequest, match="into 0 branches"):
        start.fork(0)
    with pytest.raises(InvalidRequest, match="lead is"):
        start.write(None)  # type: ignore[arg-type]


async def run_of(build: Context, engine: ScriptedEngine) -> object:
    @program
    async def one() -> str:
        return await gen(build)

    return await (await Run.start(one, engine=engine)).result()


async def test_nothing_behind_a_join() -> None:
    one, two = context("x").fork(["a", "b"])
    with pytest.raises(InvalidRequest, match="nothing is written behind them"):
        await run_of(join([one, two], how="shared"), ScriptedEngine(lambda _: "no"))


async def test_engines_that_do_not_see_branches() -> None:
    one, two = context("x").fork(["a", "b"])
    blind = ScriptedEngine(lambda _: "no", capabilities=Capabilities(has_seeds=True))
    with pytest.raises(UnsupportedFeature, match="joins of branches"):
        await run_of(join([one, two], how="shared").write("c"), blind)
    assert await run_of(join([one, two]).write("c"), blind) == "no"


async def test_a_step_of_several_sequences_is_no_part() -> None:
    @program
    async def several() -> str:
        start = context("x")
        return await gen(start.write(gen(start, n=2)))

    with pytest.raises(InvalidRequest, match="wrote 2 sequences"):
        await (await Run.start(several, engine=ScriptedEngine(lambda _: "a"))).result()

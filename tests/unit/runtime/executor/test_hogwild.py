"""Programs whose lanes write at the same time."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.support.engines import collect, opened
from tests.support.tiny import build_checkpoint
from weft.errors import InvalidRequest, UnsupportedFeature
from weft.programs import TokenTree, export_tree, hogwild, program, step
from weft.programs.generate import GenOptions
from weft.programs.lane import LAYOUTS, Lane, Layout, Team
from weft.programs.request import Request
from weft.programs.sampling import Sampling
from weft.runtime.engine import Capabilities, Engine, EngineConfig
from weft.runtime.executor import Run
from weft.runtime.journal import MemoryStore, tree_of
from weft.runtime.rollout import recompute
from weft.runtime.testing import ScriptedEngine

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
CONFIG = EngineConfig(kv_bytes=1 << 21, max_running=16, max_batch_tokens=64)
LONG: GenOptions = {"max_tokens": 200, "ignore_eos": True, "temperature": 0.0}
SHORT: GenOptions = {"max_tokens": 9, "ignore_eos": True, "temperature": 0.0}
RAW: GenOptions = {**SHORT, "is_raw": True}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_checkpoint(tmp_path_factory.mktemp("hogwild"), head_dim=16)


@pytest.fixture
async def engine(folder: Path) -> AsyncGenerator[Engine]:
    async with opened(folder, CONFIG) as opened_engine:
        yield opened_engine
        async with asyncio.timeout(5):
            while opened_engine.stats().num_blocks_used:
                await asyncio.sleep(0.001)


@needs_compiler
@pytest.mark.parametrize("layout", LAYOUTS)
async def test_lanes_write_what_the_engine_has_them_write(engine: Engine, layout: Layout) -> None:
    @program
    async def together() -> list[str]:
        team = hogwild(
            "Say.",
            lanes=3,
            layout=layout,
            others_header="<others>",
            own_header="<own>",
            step_ends=("e", "a"),
            **RAW,
        )
        async with team:
            return await team.texts()

    texts = await (await Run.start(together, engine=engine)).result()
    team = Team(
        team_id="by hand",
        prompt=engine.encode("Say."),
        layout=layout,
        num_lanes=3,
        max_lanes=3,
        others_header=engine.encode("<others>"),
        own_header=engine.encode("<own>"),
        step_ends=("e", "a"),
    )
    sampling = Sampling(max_tokens=9, ignore_eos=True, temperature=0.0)
    wanted = await asyncio.gather(
        *(
            collect(
                engine,
                Request(
                    request_id=str(at),
                    prompt=engine.encode(f"Lane {at + 1} of 3\n"),
                    lane=Lane(team=team, index=at),
                    sampling=sampling,
                ),
            )
            for at in range(3)
        )
    )
    await engine.cancel("by hand")
    assert texts == [one.text for [one] in wanted]


@needs_compiler
async def test_a_lane_goes_on_with_what_a_tool_gave(engine: Engine) -> None:
    """The others write on meanwhile, and one that joins late sees them all."""

    @step
    async def lookup() -> str:
        return "<result>"

    @program
    async def with_tools() -> tuple[int, str, str]:
        async with hogwild("Say.", lanes=2, max_lanes=3, lane_tokens=60, **SHORT) as team:
            first, second = team.lanes
            await first
            await first.go_on((lookup(), " so"), max_tokens=4, ignore_eos=True, seed=1)
            late = team.join("Late\n", max_tokens=3)
            text = await late
            return len(first.turns), text, await second

    run = await Run.start(with_tools, engine=engine)
    num_turns, text, _ = await run.result()
    assert num_turns == 2 and text
    names = [node.split("/")[-1] for node in run.graph().nodes]
    assert [name for name in names if name.startswith("lane")] == [
        "lane1",
        "lane2",
        "lane1#2",
        "lane3",
    ]


@needs_compiler
async def test_the_answer_is_written_behind_what_it_begins_with(engine: Engine) -> None:
    @program
    async def answered() -> tuple[list[str], str]:
        async with hogwild("Say.", lanes=2, lane_tokens=40, final="So: ", **SHORT) as team:
            answer = await team.answer(lane=1, max_tokens=5)
            return await team.texts(), answer

    texts, answer = await (await Run.start(answered, engine=engine)).result()
    assert texts[1].endswith(answer) and not texts[0].endswith(answer)


@needs_compiler
async def test_lanes_that_leave_or_are_left_are_stopped(engine: Engine) -> None:
    @program
    async def impatient() -> str:
        async with hogwild("Say.", lanes=3, lane_tokens=120, **SHORT) as team:
            await team.lanes[1]
            writing = team.lanes[1].go_on("more", max_tokens=90, ignore_eos=True)
            team.lanes[1].leave()
            with pytest.raises(asyncio.CancelledError):
                await writing
            team.lanes[0].turns[0].cancel()
            return "left"

    assert await (await Run.start(impatient, engine=engine)).result() == "left"


@needs_compiler
async def test_a_failing_program_leaves_nothing_behind(engine: Engine) -> None:
    @program
    async def failing() -> str:
        async with hogwild("Say.", lanes=2, lane_tokens=200, **LONG):
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await (await Run.start(failing, engine=engine)).result()


@needs_compiler
async def test_a_lane_that_cannot_begin_stops_the_others(engine: Engine) -> None:
    """Together they would wait for it for ever."""

    @program
    async def uneven() -> list[str]:
        async with hogwild(
            "Say.", lanes=2, heads=["Go", "Go on " * 40], lane_tokens=30, **SHORT
        ) as team:
            return [await team.lanes[0]]

    with pytest.raises(InvalidRequest, match="of a lane"):
        await (await Run.start(uneven, engine=engine)).result()


@needs_compiler
async def test_lanes_with_one_seed_draw_for_themselves(engine: Engine) -> None:
    @program
    async def drawn() -> list[str]:
        async with hogwild(
            "Say.", lanes=2, heads="Same", layout="blind", seed=7, max_tokens=12, ignore_eos=True
        ) as team:
            return await team.texts()

    one = await (await Run.start(drawn, engine=engine)).result()
    two = await (await Run.start(drawn, engine=engine)).result()
    assert one == two
    assert one[0] != one[1]


async def test_engines_that_cannot_see_lanes_are_refused() -> None:
    @program
    async def together() -> list[str]:
        async with hogwild("Say.") as team:
            return await team.texts()

    with pytest.raises(UnsupportedFeature, match="lanes that see each other"):
        engine = ScriptedEngine(lambda _: "no", capabilities=Capabilities())
        await (await Run.start(together, engine=engine)).result()


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"layout": "round"}, "layout is 'round'"),
        ({"lanes": 0}, "lanes is 0"),
        ({"heads": ["a"]}, "1 heads for 2 lanes"),
        ({"heads": "{nobody}"}, "heads are"),
        ({"heads": "{lane[0]}"}, "heads are"),
        ({"retries": 2}, "'retries'"),
    ],
)
def test_teams_that_cannot_be_are_refused(options: dict[str, object], what: str) -> None:
    with pytest.raises(InvalidRequest, match=what):
        hogwild("Say.", **options)  # type: ignore[arg-type]


@needs_compiler
async def test_what_lanes_wrote_is_exported_as_what_cannot_be_computed_again(
    engine: Engine,
) -> None:
    trees: list[TokenTree] = []

    @program
    async def together() -> list[str]:
        async with hogwild("Say.", lanes=2, **RAW) as team:
            texts = await team.texts()
            trees.append(export_tree(*(turn for lane in team.lanes for turn in lane.turns)))
            return texts

    store = MemoryStore()
    texts = await (await Run.start(together, engine=engine, store=store, run_id="r")).result()
    [tree] = trees
    assert tree_of(await store.steps("r")) == tree
    written = [engine.decode(node.tokens) for node in tree.nodes if node.is_generated]
    assert written == texts
    assert "Lanes read each other" in tree.why_not
    assert "counts as drawn" not in tree.why_not
    with pytest.raises(InvalidRequest, match="cannot be computed again"):
        await recompute(tree, engine)

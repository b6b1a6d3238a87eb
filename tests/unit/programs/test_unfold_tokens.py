"""Parallel regions on the engine's own kernels: the tokens that the same steps by hand draw."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from tests.support.engines import opened
from tests.support.tiny import build_checkpoint
from tests.unit.runtime.engine.test_embedded import settled
from weft.programs import Context, GenOptions, context, gen, gen_regions, join, program
from weft.programs.grammar import GrammarSpec
from weft.programs.request import Delta, Request
from weft.runtime.engine import Engine, EngineConfig
from weft.runtime.executor import Run
from weft.runtime.observe.event import TokenEvent

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")

CONFIG = EngineConfig(kv_bytes=1 << 21, max_running=16, max_batch_tokens=64)
GREEDY: Mapping[str, Any] = {"temperature": 0.0, "max_tokens": 9}
PLAN = "<Goal><Outline>1: a</Outline><Outline>2: b</Outline></Goal>"
STEPS = (
    "<Plan>Transient Step 1: a; Dependency: []\nTransient Step 2: b; Dependency: [1]\n"
    "Transient Step 3: c; Dependency: []</Plan>"
)


class Planner:
    """An engine whose model writes a plan first, whatever it is, and as it likes then."""

    def __init__(self, engine: Engine, plan: str) -> None:
        self._engine = engine
        self._plan = GrammarSpec(kind="choices", text=json.dumps([plan]))
        self.drawn: dict[str, tuple[int, ...]] = {}
        """Tokens by the number of the Request and the name of its Step."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def submit(self, request: Request) -> AsyncGenerator[Delta, None]:
        name = request.request_id.rpartition("/")[2]
        self.drawn[name] = ()
        if name == "trunk":
            sampling = replace(request.sampling, max_tokens=200)
            request = replace(request, grammar=self._plan, sampling=sampling)
        async for delta in self._engine.submit(request):
            self.drawn[name] += delta.token_ids
            yield delta


@pytest.fixture(scope="module")
def native_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that the engine's own kernels compute."""
    return build_checkpoint(tmp_path_factory.mktemp("native"), head_dim=16)


async def drawn_by(
    folder: Path, plan: str, ask: Callable[[], Awaitable[object]]
) -> dict[str, tuple[int, ...]]:
    @program
    async def main() -> str:
        await ask()
        return ""

    async with opened(folder, CONFIG) as engine:
        planner = Planner(engine, plan)
        await (await Run.start(main, engine=cast("Engine", planner), run_id="r")).result()
        await settled(engine)
    assert all(planner.drawn.values())
    return planner.drawn


def written(start: Context, name: str, stop: str = "") -> Context:
    """By hand: one generation behind ``start``, and its end where it did not come to it."""
    options: GenOptions = {"temperature": 0.0, "max_tokens": 9, "name": name}
    if stop:
        options = {**options, "stop": stop, "keeps_stop": True}
    return start.write(gen(start, **options))


async def multiverse(how: str) -> None:
    plan = written(context("Go."), "trunk", "</Goal>")
    one, two = plan.fork(["<Path> 1:", "<Path> 2:"])
    paths = [
        written(branch, f"branch {number}", "</Path>").write("</Path>")
        for number, branch in enumerate((one, two), 1)
    ]
    joined = join(paths, how="text" if how == "text" else "shared")
    await gen(joined.write("<Conclusion>"), name="trunk", **GREEDY)


async def medverse() -> None:
    plan = written(context("Go."), "trunk", "</Plan>").write("\n<Execution>\n")

    def path(start: Context, number: int, title: str) -> Context:
        begun = start.write(f"<Step> Transient Step {number}:", f" {title}\n")
        return written(begun, f"branch {number}", "</Step>").write("</Step>")

    one = path(plan.fork(1)[0], 1, "a")
    two = path(join([one], how="shared"), 2, "b")
    three = path(plan.fork(1)[0], 3, "c")
    joined = join([one, two, three], how="shared").write("</Execution>\n<Conclusion>\n")
    await gen(joined, name="trunk", **GREEDY)


async def parathinker() -> None:
    heads = context("Go.").fork(["<think1>", "<think2>", "<think3>"])
    paths = [
        written(begun, f"branch {number}", f"</think{number}>").write(f"</think{number}>")
        for number, begun in enumerate(heads, 1)
    ]
    await gen(join(paths, how="shared").write("<summary>"), name="trunk", **GREEDY)


@pytest.mark.parametrize(
    ("plan", "options", "by_hand"),
    [
        (PLAN, {}, lambda: multiverse("shared")),
        (PLAN, {"how": "text"}, lambda: multiverse("text")),
        (STEPS, {"form": "medverse"}, medverse),
        ("so it is", {"form": "parathinker", "num_paths": 3}, parathinker),
    ],
    ids=["shared", "text", "medverse", "parathinker"],
)
async def test_the_tokens_of_the_same_steps_by_hand(
    native_checkpoint: Path,
    plan: str,
    options: Mapping[str, Any],
    by_hand: Callable[[], Awaitable[object]],
) -> None:
    wanted = await drawn_by(native_checkpoint, plan, by_hand)
    got = await drawn_by(native_checkpoint, plan, lambda: gen_regions("Go.", **options, **GREEDY))
    assert got == wanted
    assert len(got) >= 4


async def test_what_was_written_does_not_depend_on_who_else_writes(native_checkpoint: Path) -> None:
    """Seeds follow from places, not from time; other requests leave no trace."""

    async def alone() -> None:
        await gen_regions("Go.", max_tokens=9)

    async def beside_others() -> None:
        others = [gen(f"Other {number}", name="other", max_tokens=30) for number in range(6)]
        await gen_regions("Go.", max_tokens=9)
        await asyncio.gather(*others)

    wanted = await drawn_by(native_checkpoint, PLAN, alone)
    crowded = await drawn_by(native_checkpoint, PLAN, beside_others)
    assert {name: tokens for name, tokens in crowded.items() if "other" not in name} == wanted


async def test_a_region_that_is_cancelled_gives_everything_back(native_checkpoint: Path) -> None:
    begun = asyncio.Event()

    def watch(event: object) -> None:
        if isinstance(event, TokenEvent) and event.lineage.endswith("branch 2"):
            begun.set()

    @program
    async def main() -> str:
        return (await gen_regions("Go.", max_tokens=200, ignore_eos=True)).text

    async with opened(native_checkpoint, CONFIG) as engine:
        planner = cast("Engine", Planner(engine, PLAN))
        run = await Run.start(main, engine=planner, observers=[watch])
        await begun.wait()
        await run.cancel()
        await settled(engine)

"""Programs that fork, join and cancel at random: nothing leaks, and no branch marks another."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.tiny import build_checkpoint
from tests.unit.runtime.engine.test_embedded import settled
from weft.programs import Context, context, gen, join, program
from weft.programs.context import Joining
from weft.programs.seeds import step_seed
from weft.runtime.engine import Engine, EngineConfig, open_engine
from weft.runtime.executor import Run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++"),
]

BLOCK_BYTES = 4 * 2 * 2 * 2 * 16 * 4
"""Of 4 slots."""
NARROW = EngineConfig(block_size=4, kv_bytes=60 * BLOCK_BYTES, max_running=12, max_batch_tokens=24)
"""So little room that branches wait, are preempted, and lose what was computed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Twig:
    """A stretch of text; then branches, and a stretch behind those that were left to grow."""

    num_tokens: int
    branches: tuple[Twig, ...] = ()
    how: Joining = "shared"
    patience: int | None = None
    """Rounds of the event loop until it is cancelled; None: it may grow."""


@st.composite
def twigs(draw: st.DrawFn, depth: int = 2) -> Twig:
    branches = st.lists(twigs(depth - 1), min_size=depth, max_size=3) if depth else st.just([])
    hows: list[Joining] = ["text", "shared", "shared", "rotated"]
    return Twig(
        num_tokens=draw(st.integers(1, 6)),
        branches=tuple(draw(branches)),
        how=draw(st.sampled_from(hows)),
        patience=draw(st.none() | st.none() | st.integers(0, 60)),
    )


class Engines(NamedTuple):
    runner: asyncio.Runner
    wide: Engine
    narrow: Engine


class Gardener:
    """Grows a Twig, and notes what was drawn at every place."""

    def __init__(self, *, is_disturbed: bool) -> None:
        self._is_disturbed = is_disturbed
        """What is to be cancelled is begun at all."""
        self.drawn: dict[str, tuple[int, ...]] = {}

    async def grow(self, start: Context, twig: Twig, place: str) -> Context:
        stem = await self._stretch(start, twig, f"{place}.")
        growing: dict[asyncio.Task[Context], Twig] = {}
        for number, one in enumerate(twig.branches):
            if one.patience is None or self._is_disturbed:
                [head] = stem.fork([f"<{number}>"])
                task = asyncio.create_task(self.grow(head, one, f"{place}{number}"))
                growing[task] = one
        await self._cancel(growing)
        kept = [await task for task, one in growing.items() if one.patience is None]
        if not kept:
            return stem
        is_flat = all(end.after == (stem,) for end in kept)
        how = twig.how if is_flat or twig.how != "text" else "shared"
        return await self._stretch(join(kept, how=how).write("|"), twig, f"{place}!")

    async def _cancel(self, growing: dict[asyncio.Task[Context], Twig]) -> None:
        for task, one in growing.items():
            if one.patience is not None:
                for _ in range(one.patience):
                    await asyncio.sleep(0)
                task.cancel()

    async def _stretch(self, start: Context, twig: Twig, place: str) -> Context:
        step = gen(start, seed=step_seed(1, place), max_tokens=twig.num_tokens, ignore_eos=True)
        await step
        self.drawn[place] = step.completions[0].token_ids
        return start.write(step)


async def grown(engine: Engine, twig: Twig, *, is_disturbed: bool) -> dict[str, tuple[int, ...]]:
    gardener = Gardener(is_disturbed=is_disturbed)

    @program
    async def main() -> str:
        await gardener.grow(context("Grow:", is_raw=True), twig, "")
        return ""

    await (await Run.start(main, engine=engine)).result()
    return gardener.drawn


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    """Of a model that their own kernels compute: they see joined branches."""
    folder = build_checkpoint(tmp_path_factory.mktemp("branches"), head_dim=16)
    with asyncio.Runner() as runner:
        wide = runner.run(open_engine(str(folder)))
        narrow = runner.run(open_engine(str(folder), config=NARROW))
        yield Engines(runner, wide, narrow)
        runner.run(wide.close())
        runner.run(narrow.close())


@settings(max_examples=25)
@given(twigs())
def test_what_is_left_draws_what_it_draws_undisturbed(engines: Engines, twig: Twig) -> None:
    """Undisturbed: nothing is cancelled or cramped, and what would be cancelled never begins."""

    async def check() -> None:
        alone = await grown(engines.wide, twig, is_disturbed=False)
        crowd = (grown(engines.narrow, twig, is_disturbed=True) for _ in range(3))
        for drawn in await asyncio.gather(*crowd):
            assert {place: drawn[place] for place in alone} == alone
        await settled(engines.wide)
        await settled(engines.narrow)

    engines.runner.run(check())

"""Parallel arguments on the embedded engine: every branch draws what it would draw alone."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import pytest
from pydantic import Field

from tests.support.engines import collect, opened
from tests.support.tiny import build_checkpoint
from tests.unit.runtime.engine.test_embedded import settled
from weft.errors import GrammarRejected
from weft.programs import HEADS, SKELETON, GenOptions, HeadForm, ToolCall, call_tool, program, tool
from weft.programs.request import Delta, Request
from weft.runtime.engine import Engine, EngineConfig
from weft.runtime.executor import Run
from weft.runtime.model import MINI

CONFIG = EngineConfig(kv_bytes=1 << 20, max_running=16, max_batch_tokens=64)
PROMPT = "Book two seats from Ada to Bern, please."

Word = Annotated[str, Field(min_length=1, max_length=6)]
Count = Annotated[int, Field(ge=0, le=60)]


@tool(depends={"end": ("start",)})
def book(start: Word, end: Word, kind: Literal["slow", "fast"], seats: Count = 1) -> str:
    """Book seats."""
    return f"{start}{end}{kind}{seats}"


@tool
def cancel(ticket: Word, seats: Count = 1) -> str:
    """Give seats back."""
    return f"{ticket}{seats}"


class Overheard:
    """An engine with a note of what was asked of it and drawn by it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.requests: dict[str, Request] = {}
        self.drawn: dict[str, tuple[int, ...]] = {}
        self.finished: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def submit(self, request: Request) -> AsyncGenerator[Delta, None]:
        name = request.request_id
        self.requests[name], self.drawn[name] = request, ()
        async for delta in self._engine.submit(request):
            self.drawn[name] += delta.token_ids
            if delta.finish_reason == "stop":
                self.finished.add(name)
            yield delta


async def decoded(engine: Engine, form: HeadForm, options: Mapping[str, Any]) -> ToolCall:
    given = cast("GenOptions", {"max_tokens": 48, **options})

    @program
    async def main() -> ToolCall:
        return await call_tool(PROMPT, [book, cancel], form=form, **given)

    return await (await Run.start(main, engine=engine, seed=3, run_id="r")).result()


@pytest.fixture(scope="module")
def native_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that the engine's own kernels compute."""
    return build_checkpoint(tmp_path_factory.mktemp("native"), head_dim=16)


SAMPLINGS: Mapping[str, Mapping[str, Any]] = {
    "greedy": {"temperature": 0.0},
    "seeds": {},
    "seed": {"seed": 11},
}


async def check_branches(
    folder: Path, config: EngineConfig, form: HeadForm, options: Mapping[str, Any]
) -> None:
    async with opened(folder, config) as engine:
        overheard = Overheard(engine)
        call = await decoded(cast("Engine", overheard), form, options)
    assert call.name in ("book", "cancel")
    alone = {"main/call_tool/tool", *(f"main/call_tool/{name}" for name in call.arguments)}
    assert {f"r/{name}" for name in alone} <= overheard.finished
    async with opened(folder, config) as engine:
        for name in sorted(overheard.finished):
            [solo] = await collect(engine, overheard.requests[name])
            assert solo.token_ids == overheard.drawn[name], name


@pytest.mark.parametrize("form", [SKELETON, HEADS], ids=["skeleton", "heads"])
@pytest.mark.parametrize("sampling", SAMPLINGS)
async def test_every_branch_of_a_tiny_model_equals_its_solo_decode(
    native_checkpoint: Path, form: HeadForm, sampling: str
) -> None:
    await check_branches(native_checkpoint, CONFIG, form, SAMPLINGS[sampling])


@pytest.mark.slow
@pytest.mark.parametrize("form", [SKELETON, HEADS], ids=["skeleton", "heads"])
@pytest.mark.parametrize("sampling", SAMPLINGS)
async def test_every_branch_of_mini_equals_its_solo_decode(form: HeadForm, sampling: str) -> None:
    await check_branches(MINI, EngineConfig(kv_bytes=64 << 20), form, SAMPLINGS[sampling])


async def test_a_forced_call_is_the_same_in_every_form(native_checkpoint: Path) -> None:
    """Where schemas leave no choice, so does every way of decoding."""

    @tool
    def turn(side: Literal["left"], degrees: Annotated[int, Field(ge=60, le=60)]) -> str:
        """Turn."""
        return f"{side}{degrees}"

    async with opened(native_checkpoint, CONFIG) as engine:
        for form in (SKELETON, HEADS):

            @program
            async def main(form: HeadForm = form) -> ToolCall:
                return await call_tool("Go", [turn], form=form, max_tokens=32)

            call = await (await Run.start(main, engine=engine)).result()
            assert call == ToolCall(name="turn", arguments={"side": "left", "degrees": 60})


async def test_a_schema_that_cannot_be_enforced_is_refused_by_name(native_checkpoint: Path) -> None:
    @tool
    def pick(fine: bool, odd: Annotated[float, Field(multiple_of=0.5)]) -> str:
        """Pick."""
        return f"{fine}{odd}"

    @program
    async def main() -> ToolCall:
        return await call_tool("Go", [pick])

    async with opened(native_checkpoint, CONFIG) as engine:
        with pytest.raises(GrammarRejected, match="'odd' of tool 'pick'.*'multipleOf'"):
            await (await Run.start(main, engine=engine)).result()
        await settled(engine)

"""What type checkers infer from the DSL: mypy and pyright, both strict, read this file.

Run, it only shows that the calls are as legal as they look.
"""

from __future__ import annotations

import asyncio
from typing import Literal, assert_type

from pydantic import BaseModel

from weft import (
    Candidates,
    Control,
    Ebnf,
    JsonSchema,
    Program,
    Regex,
    Run,
    Step,
    Verdict,
    chat,
    gen,
    pmap,
    program,
    race,
    run_sync,
    step,
    tool,
    verifier,
    vote,
)
from weft.runtime.testing import ScriptedEngine


class Report(BaseModel):
    title: str


@step
async def fetch(url: str, *, tries: int = 1) -> bytes:
    return url.encode() * tries


@step(retries=2)
def count(data: bytes) -> int:
    return len(data)


@tool(effect="pure")
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
async def look_up(name: str) -> list[str]:
    """Find a name."""
    return [name]


@verifier
async def is_fine(report: Report) -> bool:
    return bool(report.title)


@verifier(timeout_s=1.0)
def score(text: str) -> float:
    return float(len(text))


@program
async def child(topic: str, size: int = 1) -> Report:
    return await gen(topic * size, out=Report)


async def generations() -> None:
    assert_type(gen("x"), Step[str])
    assert_type(gen("x", max_tokens=3, temperature=0.0, name="a"), Step[str])
    assert_type(gen("x", out=Report), Step[Report])
    assert_type(gen("x", out=Literal["yes", "no"]), Step[Literal["yes", "no"]])
    assert_type(gen("x", out=["yes", "no"]), Step[str])
    assert_type(gen("x", out=int), Step[int])
    assert_type(gen("x", out=bool), Step[bool])
    assert_type(gen("x", out=list[Report]), Step[list[Report]])
    assert_type(gen("x", out=dict[str, float]), Step[dict[str, float]])
    assert_type(gen("x", out=Report | None), Step[Report | None])
    assert_type(gen("x", out=Regex("a+")), Step[str])
    assert_type(gen("x", out=Ebnf('root ::= "a"')), Step[str])
    assert_type(gen("x", out=JsonSchema({"type": "object"})), Step[object])
    assert_type(gen("x", n=8), Candidates[str])
    assert_type(gen("x", n=8, out=Report), Candidates[Report])
    assert_type(gen("x", n=8, out=["a", "b"]), Candidates[str])
    assert_type(gen("x", lead="It is"), Step[str])
    assert_type(gen("x", lead=(1, 2), out=Report, n=2), Candidates[Report])
    assert_type(gen("x", lead=(Control("<tool_call>"), "\n"), out=int), Step[int])
    assert_type(await gen("x", out=Report), Report)
    assert_type(await gen("x", out=Report, n=3), list[Report])


async def chats() -> None:
    talk = chat("system").user("x", gen("y")).assistant("z")
    assert_type(talk.gen(), Step[str])
    assert_type(talk.gen(out=Report, temperature=0.5), Step[Report])
    assert_type(talk.gen(n=8, out=Report), Candidates[Report])
    assert_type(talk.gen(lead="It is", out=Report), Step[Report])
    assert_type(talk.gen(out=Literal[1, 2]), Step[Literal[1, 2]])


async def functions() -> None:
    assert_type(fetch("u", tries=2), Step[bytes])
    assert_type(count(fetch("u").edge), Step[int])
    assert_type(add(1, b=2), Step[int])
    assert_type(look_up("x"), Step[list[str]])
    assert_type(is_fine(Report(title="t")), Step[Verdict])
    assert_type(score("x"), Step[Verdict])
    assert_type(child("x", size=2), Step[Report])


async def combinations() -> None:
    candidates = gen("x", n=8, out=Report)
    assert_type(candidates.best(by=is_fine, stop_at=1.0), Step[Report])
    assert_type(candidates.best(by=lambda report: len(report.title)), Step[Report])
    assert_type(candidates.vote(key=lambda report: report.title), Step[Report])
    async for report in candidates:
        assert_type(report, Report)
    assert_type(race(gen("a"), gen("b")), Step[str])
    assert_type(vote([gen("a", out=int), gen("b", out=int)]), Step[int])
    assert_type(vote(gen("a", out=int, n=3)), Step[int])
    assert_type(pmap(child, ["a", "b"]), Step[list[Report]])
    assert_type(pmap(lambda item: gen(item, out=Report), ["a", "b"], limit=2), Step[list[Report]])
    assert_type(pmap(child, gen("topics", out=list[str])), Step[list[Report]])
    one, two = await asyncio.gather(gen("a"), gen("b", out=Report))
    assert_type(one, str)
    assert_type(two, Report)


async def runs() -> None:
    run = await Run.start(child, "x", engine=ScriptedEngine())
    assert_type(run, Run[Report])
    assert_type(await run.result(), Report)


def answer(prompt: str) -> str:
    return '{"title": "t"}'


def test_programs_are_typed_all_the_way() -> None:
    engine = ScriptedEngine(lambda prompted: answer(prompted.text))
    report = run_sync(child, "x", engine=engine)
    assert_type(report, Report)
    assert report == Report(title="t")
    assert isinstance(child, Program)

"""Generations whose beginning is already said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from tests.support.engines import opened
from tests.unit.runtime.executor.test_record import ListStore
from weft.errors import InvalidRequest
from weft.programs import Control, GenOptions, Lead, chat, gen, program
from weft.programs.generate import order_gen
from weft.programs.request import Completion
from weft.runtime.engine import Engine, EngineConfig
from weft.runtime.executor import Run
from weft.runtime.executor.lead import encode_lead, fill_lead
from weft.runtime.testing import ScriptedEngine

CONFIG = EngineConfig(kv_bytes=1 << 20, max_running=16, max_batch_tokens=64)


@program
async def answered(lead: Lead) -> str:
    return await chat("Be short.").user("2 + 2").gen(lead=lead)


@pytest.mark.parametrize("lead", ["It is ", ("It ", 105, 115, " "), ("It", Control(" is "))])
async def test_a_lead_stands_after_the_template_and_in_no_result(lead: Lead) -> None:
    engine = ScriptedEngine(lambda _: "four")
    assert await (await Run.start(answered, lead, engine=engine)).result() == "four"
    assert engine.prompts == ["system: Be short.\nuser: 2 + 2It is "]


async def test_a_lead_stands_after_raw_text() -> None:
    @program
    async def raw() -> str:
        return await gen("2 + 2", is_raw=True, lead=" =")

    engine = ScriptedEngine(lambda _: " 4")
    assert await (await Run.start(raw, engine=engine)).result() == " 4"
    assert engine.prompts == ["2 + 2 ="]


async def test_results_of_steps_may_stand_in_a_lead() -> None:
    """They are data edges: the generation starts when they are there."""

    @program
    async def chained() -> str:
        first, second = gen("a", name="first"), gen("b", out=list[int], name="second")
        return await gen("x", lead=("The ", first, " of ", second), name="last")

    answers = {"user: a": "sum", "user: b": "[1, 2]"}
    engine = ScriptedEngine(lambda prompted: answers.get(prompted.text, "is 3"))
    run = await Run.start(chained, engine=engine)
    assert await run.result() == "is 3"
    assert engine.prompts[-1] == "user: xThe sum of [1,2]"
    edges = set(run.graph().in_edges("chained/last"))
    assert {("chained/first", "chained/last"), ("chained/second", "chained/last")} <= edges


async def test_a_lead_is_recorded_with_the_input() -> None:
    async def record(lead: Lead) -> tuple[object, str]:
        store = ListStore()
        engine = ScriptedEngine(lambda _: "four")
        await (await Run.start(answered, lead, engine=engine, store=store)).result()
        asked = store.by_lineage()["answered/gen"]
        return json.loads(asked.input_json)["lead"], asked.input_hash

    assert (await record("It is "))[0] == (await record(("It ", "is ")))[0] == ["It is "]
    assert (await record(("It ", 105, Control("<x>"))))[0] == ["It ", 105, {"text": "<x>"}]
    assert (await record("It is "))[1] != (await record("It was "))[1]


@pytest.mark.parametrize("lead", [None, ["a"], (1.5,), ("a", None), Control("<tool_call>")])
async def test_what_is_no_lead_is_refused(lead: object) -> None:
    @program
    async def wrong() -> str:
        return await gen("x", lead=cast(Any, lead))

    with pytest.raises(InvalidRequest, match=r"lead is .*Give text"):
        await (await Run.start(wrong, engine=ScriptedEngine())).result()


def test_a_program_with_leads_is_planned() -> None:
    @program
    async def two() -> str:
        return await gen([gen("a", lead="x", name="first")], lead="y", name="second")

    graph = two.plan()
    assert list(graph.nodes) == ["two", "two/first", "two/second"]


async def said(
    engine: Engine, *, out: object = None, n: int | None = None, **options: Any
) -> list[Completion]:
    """What ``gen`` with these options generates."""
    kept: list[Completion] = []

    @program
    async def keep() -> None:
        sampling = cast("GenOptions", {"is_raw": True, "seed": 7, "max_tokens": 8, **options})
        step = order_gen("The warp", out, n, sampling)
        await step
        kept.extend(step.completions)

    await (await Run.start(keep, engine=engine)).result()
    return kept


@pytest.mark.parametrize("options", [{}, {"n": 3}, {"out": ["yes", "no"]}, {"temperature": 0.0}])
async def test_a_lead_is_nothing_but_more_prompt(
    tiny_checkpoint: Path, options: dict[str, Any]
) -> None:
    """Given as text, as token ids, or split over both, the tokens drawn are the same."""
    async with opened(tiny_checkpoint, CONFIG) as engine:
        ids = engine.encode(" is the engine")
        leads: list[Lead] = [" is the engine", ids, (" is the engine",), (*ids[:2], *ids[2:])]
        found = [await said(engine, lead=lead, **options) for lead in leads]
        without = await said(engine, **options)
    drawn = [[one.token_ids for one in several] for several in found]
    assert drawn == [drawn[0]] * len(leads)
    assert len(drawn[0]) == options.get("n", 1)
    prompt = found[0][0].num_prompt_tokens
    assert prompt == without[0].num_prompt_tokens + len(ids)


async def test_only_a_control_gives_control_tokens(tiny_checkpoint: Path) -> None:
    async with opened(tiny_checkpoint, CONFIG) as engine:
        plain = encode_lead(("<tool_call>\n",), engine)
        control = encode_lead(fill_lead((Control("<tool_call>"), "", "\n")), engine)
        [tag] = engine.encode("<tool_call>", has_controls=True)
    assert tag not in plain
    assert control == (tag, *plain[-1:])

"""Answers with parallel regions on a scripted model, in every form."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from weft.errors import (
    BudgetExceeded,
    EngineOverloaded,
    InvalidRequest,
    OutputInvalid,
    StepOutsideRun,
    UnsupportedFeature,
)
from weft.programs import Budget, chat, context, gen, gen_regions, join, program
from weft.programs.context import Context
from weft.programs.past import Past, Segment
from weft.programs.prompt import Prompt
from weft.programs.regions import FORMS
from weft.programs.unfolded import Unfolded
from weft.runtime.engine.protocol import Capabilities
from weft.runtime.executor import Run
from weft.runtime.testing import Prompted, Reply, ScriptedEngine

Answers = Mapping[str, str | Reply]


def says(answers: Answers, **engine: Any) -> ScriptedEngine:
    """Answers by the end of what is seen; the longest one that fits."""

    def say(prompted: Prompted) -> str | Reply:
        ends = [end for end in answers if prompted.text.endswith(end)]
        assert ends, f"nothing to say after {prompted.text[-80:]!r}"
        return answers[max(ends, key=len)]

    return ScriptedEngine(say, **engine)


async def unfolded(
    engine: ScriptedEngine,
    prompt: Prompt | Context = "Go.",
    budget: Budget | None = None,
    **options: Any,
) -> Unfolded:
    found: list[Unfolded] = []

    @program
    async def main() -> str:
        found.append(await gen_regions(prompt, **options))
        return found[0].text

    run = await Run.start(main, engine=engine, budget=budget, run_id="r", seed=1)
    assert await run.result() == found[0].text
    assert engine.num_active == 0
    return found[0]


PLAN = "Two.\n<Goal>\n<Outline> 1: lamps</Outline>\n<Outline> 2: pans</Outline>\n</Goal>"
MULTIVERSE = {
    "user: Go.": f"{PLAN} and never this",
    "<Path> 1:": " 3 * 4 = 12</Path>",
    "<Path> 2:": " 18</Path>",
    "<Conclusion>": " 30</Conclusion>",
}
ANSWER = f"{PLAN}<Path> 1: 3 * 4 = 12</Path><Path> 2: 18</Path><Conclusion> 30</Conclusion>"


def codes(text: str) -> tuple[int, ...]:
    return tuple(map(ord, text))


async def test_a_planned_region_is_run_and_joined_without_a_copy() -> None:
    engine = says(MULTIVERSE)
    answer = await unfolded(engine)
    assert answer.text == ANSWER
    plan, one, two, last = engine.requests
    assert plan.sampling.stop == ("</Goal>",)
    assert [request.sampling.stop for request in (one, two)] == [("</Path>", "</Goal>")] * 2
    assert [engine.decode(request.prompt) for request in (one, two)] == [
        f"user: Go.{PLAN}<Path> 1:",
        f"user: Go.{PLAN}<Path> 2:",
    ]
    assert last.past == Past(
        segments=(
            Segment(tokens=codes(f"user: Go.{PLAN}")),
            Segment(tokens=codes("<Path> 1: 3 * 4 = 12</Path>"), parents=(0,)),
            Segment(tokens=codes("<Path> 2: 18</Path>"), parents=(0,)),
        ),
        parents=(1, 2),
    )
    assert engine.decode(last.prompt) == "<Conclusion>"


async def test_tokens_are_counted_in_all_and_on_the_critical_path() -> None:
    answer = await unfolded(says(MULTIVERSE))
    [region] = answer.regions
    texts = [" 3 * 4 = 12", " 18"]
    assert [(one.number, one.title, one.text) for one in region.branches] == [
        (1, "lamps", texts[0]),
        (2, "pans", texts[1]),
    ]
    lengths = [len(text) + len("</Path>") for text in texts]
    assert [one.num_tokens for one in region.branches] == lengths
    outside = len(PLAN) + len(" 30</Conclusion>")
    assert answer.num_tokens == outside + sum(lengths)
    assert answer.num_critical == outside + max(lengths)
    assert answer.acceleration == pytest.approx(min(lengths) / answer.num_tokens)


async def test_the_same_requests_as_by_hand() -> None:
    @program
    async def by_hand() -> str:
        start = context("Go.")
        plan = start.write(gen(start, stop="</Goal>", keeps_stop=True))
        forks = plan.fork(["<Path> 1:", "<Path> 2:"])
        paths = [one.write(gen(one, stop="</Path>", keeps_stop=True)) for one in forks]
        return await gen(join(paths, how="shared").write("<Conclusion>"))

    by_itself, hand = says(MULTIVERSE), says(MULTIVERSE)
    await unfolded(by_itself)
    await (await Run.start(by_hand, engine=hand)).result()
    assert [(one.past, one.prompt) for one in by_itself.requests] == [
        (one.past, one.prompt) for one in hand.requests
    ]


async def test_an_engine_that_does_not_see_branches_can_join_them_as_text() -> None:
    blind = Capabilities(has_seeds=True)
    with pytest.raises(UnsupportedFeature, match="does not offer joins.*how='text'"):
        await unfolded(says(MULTIVERSE, capabilities=blind))
    engine = says(MULTIVERSE, capabilities=blind)
    assert (await unfolded(engine, how="text")).text == ANSWER
    before = ANSWER.removesuffix(" 30</Conclusion>")
    assert engine.requests[-1].past is None
    assert engine.prompts[-1] == f"user: Go.{before}"


async def test_no_plan_no_branches_and_a_turn_that_ends_in_the_middle_of_a_plan() -> None:
    answer = await unfolded(says({"Go.": "Just this."}))
    assert (answer.text, answer.regions, answer.acceleration) == ("Just this.", (), 0.0)
    empty = {"Go.": "<Goal>nothing</Goal>", "</Goal>": " So: 3"}
    assert (await unfolded(says(empty))).text == "<Goal>nothing</Goal> So: 3"
    cut = await unfolded(says({"Go.": "<Goal><Outline> 1: a</Outline>"}))
    assert (cut.text, cut.regions) == ("<Goal><Outline> 1: a</Outline>", ())


async def test_several_regions_in_one_answer_and_no_more_than_asked_for() -> None:
    again = " then <Goal><Outline> 1: again</Outline></Goal>"
    answers = {**MULTIVERSE, "18</Path><Conclusion>": again, "again</Outline></Goal><Path> 1:": "x"}
    answers["x</Path><Conclusion>"] = " end"
    answer = await unfolded(says(answers))
    assert [[one.title for one in region.branches] for region in answer.regions] == [
        ["lamps", "pans"],
        ["again"],
    ]
    assert answer.text == ANSWER.replace(
        " 30</Conclusion>", f"{again}<Path> 1:x</Path><Conclusion> end"
    )
    answer = await unfolded(says(answers), max_regions=1)
    assert len(answer.regions) == 1
    assert answer.text == ANSWER.replace(" 30</Conclusion>", again)


INNER = " <Goal><Outline> 1: deep</Outline><Outline> 2: deeper</Outline></Goal>"
NESTED = {
    **MULTIVERSE,
    "lamps</Outline>\n<Outline> 2: pans</Outline>\n</Goal><Path> 1:": INNER,
    "deeper</Outline></Goal><Path> 1:": "a</Path>",
    "deeper</Outline></Goal><Path> 2:": "bcd</Path>",
    "bcd</Path><Conclusion>": " e</Path>",
}
PATH = f"{INNER}<Path> 1:a</Path><Path> 2:bcd</Path><Conclusion> e"


@pytest.mark.parametrize("how", ["shared", "text"])
async def test_a_region_inside_a_branch(how: str) -> None:
    answer = await unfolded(says(NESTED), how=how)
    assert answer.text == ANSWER.replace(" 3 * 4 = 12", PATH)
    one, two = answer.regions[0].branches
    assert one.text == PATH
    assert [deep.title for deep in one.regions[0].branches] == ["deep", "deeper"]
    tail = len("</Path>")
    assert one.num_tokens == len(INNER) + 1 + 3 + 2 * tail + len(" e") + tail
    assert one.num_critical == one.num_tokens - 1 - tail
    assert answer.num_tokens - answer.num_critical == 1 + tail + two.num_tokens


async def test_a_region_deeper_than_allowed_is_text_like_any_other() -> None:
    answer = await unfolded(says(NESTED), max_depth=1)
    assert answer.regions[0].branches[0].regions == ()
    assert answer.text == ANSWER.replace(" 3 * 4 = 12", INNER)
    flat = replace(FORMS["multiverse"], nests=False)
    assert (await unfolded(says(NESTED), form=flat)).text == answer.text


STEPS = (
    "<Plan>\n<Outline> Transient Step 1: A; Dependency: [] </Outline>\n"
    "<Outline> Transient Step 2: B; Dependency: [] </Outline>\n"
    "<Outline> Transient Step 3: C; Dependency: [1] </Outline>\n"
    "<Outline> Transient Step 4: D; Dependency: [2, 3] </Outline>\n</Plan>"
)


def medverse(**said: str | Reply) -> Answers:
    written = {
        f"Step 1: {title}\n".replace("1", str(at)): f"w{title}</Step>"
        for at, title in enumerate("ABCD", 1)
    }
    named = {f"Step {'ABCD'.index(title) + 1}: {title}\n": reply for title, reply in said.items()}
    return {"Go.": STEPS, **written, **named, "<Conclusion>\n": "E"}


def step(number: int, title: str) -> str:
    return f"<Step> Transient Step {number}: {title}\nw{title}</Step>"


async def test_a_branch_sees_what_it_declared_and_nothing_else() -> None:
    engine = says(medverse())
    answer = await unfolded(engine, form="medverse")
    steps = [step(at, title) for at, title in enumerate("ABCD", 1)]
    start = f"{STEPS}\n<Execution>\n"
    end = "</Execution>\n<Conclusion>\n"
    assert answer.text == f"{start}{''.join(steps)}{end}E"
    asked = {engine.decode(one.prompt[-2:])[0]: one for one in engine.requests}
    trunk, a, b, c = (
        Segment(tokens=codes(f"user: Go.{start}")),
        *(codes(one) for one in steps[:3]),
    )
    one = Segment(tokens=a, parents=(0,))
    assert asked["B"].past is None
    assert (
        engine.decode(asked["C"].context)
        == f"user: Go.{start}{steps[0]}<Step> Transient Step 3: C\n"
    )
    assert asked["D"].past == Past(
        segments=(trunk, Segment(tokens=b, parents=(0,)), one, Segment(tokens=c, parents=(2,))),
        parents=(1, 3),
    )
    assert engine.decode(asked["D"].prompt) == "<Step> Transient Step 4: D\n"
    last = engine.requests[-1].past
    assert last is not None
    assert last.frames[-1].end == max(
        frame.end + len(segment.tokens)
        for frame, segment in zip(last.frames, last.segments, strict=False)
    )
    [region] = answer.regions
    lengths = {one.number: one.num_tokens for one in region.branches}
    assert region.num_critical == lengths[1] + lengths[3] + lengths[4]


async def test_as_text_too_a_branch_sees_its_ancestors_alone() -> None:
    engine = says(medverse(), capabilities=Capabilities(has_seeds=True))
    shared = await unfolded(says(medverse()), form="medverse")
    answer = await unfolded(engine, form="medverse", how="text")
    assert answer.text == shared.text
    asked = {prompt[-2:]: prompt.partition("<Execution>\n")[2] for prompt in engine.prompts}
    head = "<Step> Transient Step {}: {}\n".format
    assert asked["B\n"] == head(2, "B")
    assert asked["C\n"] == step(1, "A") + head(3, "C")
    assert asked["D\n"] == step(1, "A") + step(2, "B") + step(3, "C") + head(4, "D")


async def test_a_branch_starts_when_its_own_needs_are_done() -> None:
    """Branch 2 says nothing before branch 3, which needs branch 1 alone, has begun."""
    begun = asyncio.Event()

    async def begin() -> None:
        begun.set()

    slow = Reply(text="wB</Step>", wait=begun.wait)
    third = Reply(text="wC</Step>", wait=begin)
    answer = await asyncio.wait_for(
        unfolded(says(medverse(B=slow, C=third)), form="medverse"), timeout=5
    )
    assert answer.text.endswith("E")


async def test_an_error_names_its_branch_and_ends_the_others() -> None:
    engine_full = EngineOverloaded("No room.", remedy="Try later.")

    async def for_ever() -> None:
        await asyncio.Event().wait()

    async def settle() -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    answers = medverse(
        A=Reply(wait=settle, error=engine_full), B=Reply(text="never", wait=for_ever)
    )
    engine = says(answers)
    with pytest.raises(EngineOverloaded) as caught:
        await asyncio.wait_for(unfolded(engine, form="medverse"), timeout=5)
    assert caught.value.what == "Branch 1 ('A') of a medverse region: No room."
    assert caught.value.remedy == "Try later."
    assert caught.value.__cause__ is engine_full
    assert engine.num_active == 0
    assert len(engine.requests) == 3
    assert [name.rpartition("/")[2] for name in engine.closed] == ["branch 2"]


async def test_errors_inside_of_branches_tell_the_whole_way() -> None:
    full = Reply(error=EngineOverloaded("Full."))
    answers: Answers = {**NESTED, "deeper</Outline></Goal><Path> 2:": full}
    where = r"Branch 1 \('lamps'\) .*: Branch 2 \('deeper'\) of a multiverse region: Full\."
    with pytest.raises(EngineOverloaded, match=where):
        await unfolded(says(answers))


async def test_a_budget_that_ends_in_a_branch_ends_all() -> None:
    engine = says(MULTIVERSE)
    with pytest.raises(BudgetExceeded):
        await unfolded(engine, budget=Budget(tokens=len(PLAN) + 5))
    assert engine.num_active == 0


async def test_cancelled_in_the_middle_of_a_region() -> None:
    begun = asyncio.Event()

    async def hang() -> None:
        begun.set()
        await asyncio.Event().wait()

    @program
    async def main() -> str:
        return (await gen_regions("Go.")).text

    engine = says({**NESTED, "deeper</Outline></Goal><Path> 2:": Reply(wait=hang)})
    run = await Run.start(main, engine=engine)
    await begun.wait()
    await run.cancel()
    assert engine.num_active == 0
    assert [name.rpartition("/")[2] for name in engine.closed] == ["branch 1.2"]


@pytest.mark.parametrize(
    ("plan", "what"),
    [
        ("[2]", "wait for each other"),
        ("[7]", "branch 1, which needs 7"),
        ("[]; Transient Step 1: again; Dependency: []", "branch 1 twice"),
        (
            "[]" + "".join(f"; Transient Step {n}: s; Dependency: []" for n in range(3, 53)),
            "52 bra",
        ),
    ],
)
async def test_a_plan_that_cannot_be_run(plan: str, what: str) -> None:
    first = f"<Plan>Transient Step 1: a; Dependency: {plan}\nTransient Step 2: b; Dependency: [1]"
    with pytest.raises(OutputInvalid, match=what):
        await unfolded(says({"Go.": f"{first}</Plan>"}), form="medverse")


async def test_threads_are_joined_as_text() -> None:
    plan = "<Parallel>\n<Outlines>\n<Outline> 1: a</Outline>\n<Outline> 2: b</Outline>\n</Outlines>"
    said = {
        "Go.": plan,
        "<Thread>\n1:": " one",
        "<Thread>\n2:": " two</Thread>",
        "</Parallel>": "!",
    }
    engine = says(said)
    answer = await unfolded(engine, form="threadweaver")
    threads = "\n<Thread>\n1: one</Thread>\n<Thread>\n2: two</Thread>\n</Parallel>"
    assert answer.text == f"{plan}{threads}!"
    assert engine.prompts == [
        "user: Go.",
        f"user: Go.{plan}\n<Thread>\n1:",
        f"user: Go.{plan}\n<Thread>\n2:",
        f"user: Go.{plan}{threads}",
    ]
    assert engine.requests[-1].past is None


async def test_paths_without_a_plan_start_at_one_place() -> None:
    said = {f"<think{n}>": f"{'x' * n}</think{n}>" for n in (1, 2, 3)} | {"<summary>": "so"}
    engine = says(said)
    answer = await unfolded(engine, form="parathinker", num_paths=3)
    assert answer.text == ("<think1>x</think1><think2>xx</think2><think3>xxx</think3><summary>so")
    last = engine.requests[-1].past
    assert last is not None
    assert last.parents == (1, 2, 3)
    assert [frame.end for frame in last.frames[1:4]] == [len("user: Go.")] * 3
    assert last.frames[-1].end == len("user: Go.<think3>xxx</think3>")


async def test_a_skeleton_and_its_points() -> None:
    def say(prompted: Prompted) -> str:
        if prompted.text.endswith("1. Sleep"):
            return " well."
        if prompted.text.endswith("2. Walk"):
            return " far."
        assert "skeleton of an answer to the question below" in prompted.text
        return "1. Sleep\n2. Walk\n"

    engine = ScriptedEngine(say)
    answer = await unfolded(engine, "How to rest?", form="skeleton")
    assert answer.text == "1. Sleep well.\n2. Walk far.\n"
    outline, first, second = engine.prompts
    assert outline.startswith("user: ")
    assert outline.endswith("How to rest?")
    for number, prompt in ((1, first), (2, second)):
        assert prompt.startswith("user: How to rest?\n")
        assert "1. Sleep\n2. Walk\n" in prompt
        assert f"Write point {number} and no other" in prompt
    assert answer.num_tokens == len("1. Sleep\n2. Walk\n") + len(" well.") + len(" far.")
    assert answer.num_critical == answer.num_tokens - len(" far.")


async def test_no_skeleton_is_an_answer_like_any_other() -> None:
    engine = ScriptedEngine(lambda asked: "4" if asked.text == "user: 2 + 2?" else "No list.")
    answer = await unfolded(engine, "2 + 2?", form="skeleton")
    assert (answer.text, answer.num_tokens) == ("4", len("No list.") + 1)
    with pytest.raises(InvalidRequest, match="Give the request as text"):
        await unfolded(says({}), context("x"), form="skeleton")


CALL = (
    "<Calling Sub Searches>\n<Start Sub Search 0 at level 1> Moving to Node #0,0\n"
    "<Start Sub Search 1 at level 1> Moving to Node #0,1\n<End Calling Sub Searches>"
)


async def test_sub_searches_start_anew_and_only_what_they_found_returns() -> None:
    made = (
        "Generated Node #0,0: 5:[1, 4] Operation: 3-2=1\n"
        "Generated Node #0,1: 5:[2, 3] Operation: 6-4=2\n"
    )
    children = [
        "Moving to Node #0,0\nCurrent State: 5:[1, 4], Operations: ['3-2=1']",
        "Moving to Node #0,1\nCurrent State: 5:[2, 3], Operations: ['6-4=2']",
    ]
    prompt = "Moving to Node #0\nCurrent State: 5:[4, 3, 2, 6], Operations: []\n"
    found = "\nGoal Reached\n1+4=5, Goal Reached"
    engine = says(
        {
            prompt: made + CALL,
            children[0]: found,
            children[1]: "\nNo solution found.",
            "<End Sub Searches>\n": "5,5 equal: Goal Reached",
        }
    )
    answer = await unfolded(engine, prompt, form="apr", is_raw=True)
    joined = (
        f"{made}<Sub Searches>\n"
        "<Goal Reached in Sub Search 0 at level 1 at Node #0,0>\n1+4=5, Goal Reached\n"
        "<No Solution in Sub Search 1 at level 1 at Node #0,1>\n<End Sub Searches>\n"
    )
    assert engine.prompts == [prompt, *children, prompt + joined]
    assert answer.text == f"{joined}5,5 equal: Goal Reached"
    assert [one.text for one in answer.regions[0].branches] == [found, "\nNo solution found."]


async def test_it_goes_on_from_what_was_written_and_others_go_on_from_it() -> None:
    @program
    async def main() -> str:
        start = chat("Be short.").user("Go.")
        first = await gen_regions(start)
        second = await gen_regions(first.context.write("\nAgain: "))
        return second.text

    engine = says({**MULTIVERSE, "Again: ": "no plan"})
    run = await Run.start(main, engine=engine)
    assert await run.result() == "no plan"
    assert engine.prompts[-1] == f"system: Be short.\nuser: Go.{ANSWER}\nAgain: "


async def test_steps_have_names_and_seeds_of_their_own() -> None:
    engine = says(NESTED)
    await unfolded(engine)
    names = [request.request_id.rpartition("/")[2].partition("#")[0] for request in engine.requests]
    assert sorted(names) == [
        "branch 1",
        "branch 1",
        "branch 1.1",
        "branch 1.2",
        "branch 2",
        "trunk",
        "trunk",
    ]
    drawn: list[list[int | None]] = []
    for seed in (None, 5, 5, 6):
        engine = says(NESTED)
        given: dict[str, Any] = {} if seed is None else {"seed": seed}
        await unfolded(engine, **given)
        drawn.append([request.sampling.seed for request in engine.requests])
        assert len(set(drawn[-1])) == len(drawn[-1])
    assert drawn[1] == drawn[2]
    assert not set(drawn[0]) & set(drawn[1])
    assert not set(drawn[2]) & set(drawn[3])


async def test_what_is_no_request() -> None:
    async def refused(match: str, **options: Any) -> None:
        with pytest.raises(InvalidRequest, match=match):
            await unfolded(says({}), **options)

    await refused("form is 'tree'", form="tree")
    await refused("how is 'rotated'", how="rotated")
    await refused("num_paths is 2", num_paths=2)
    await refused("num_paths is None", form="parathinker")
    await refused("num_paths is 51", form="parathinker", num_paths=51)
    await refused("stop is given", stop="x")
    await refused("mode 'shared'", form="apr", how="shared")
    with pytest.raises(StepOutsideRun):
        await gen_regions("x")

"""Plans that models write, in every published form."""

from __future__ import annotations

import pytest

from weft.errors import OutputInvalid
from weft.programs.regions import FORMS, Branch, numbered_paths

PLANS = {
    "threadweaver": (
        "Let me split this.\n<Parallel>\n<Outlines>\n<Outline> 1: Try x = 2 </Outline>\n"
        "<Outline> 2: Try x = 3 </Outline></Outlines>",
        (Branch(1, "Try x = 2"), Branch(2, "Try x = 3")),
    ),
    "multiverse": (
        "<Parallel><Goal><Outline>1: Even</Outline><Outline>2: Odd</Outline></Goal>",
        (Branch(1, "Even"), Branch(2, "Odd")),
    ),
    "medverse": (
        "<Plan>\n<Outline> Transient Step 1: A -> B; Dependency: [] </Outline>\n"
        "<Outline> Transient Step 2: A -> C; Dependency: [] </Outline>\n"
        "Transient Step 3: B + C -> D; Dependency: [1, 2]\n</Plan>\n",
        (Branch(1, "A -> B"), Branch(2, "A -> C"), Branch(3, "B + C -> D", (1, 2))),
    ),
    "skeleton": (
        "1. Sleep more\n2. Drink less coffee\n  3. Walk\n",
        (Branch(1, "Sleep more"), Branch(2, "Drink less coffee"), Branch(3, "Walk")),
    ),
    "apr": (
        "Moving to Node #0\n<Calling Sub Searches>\n"
        "<Start Sub Search 0 at level 1> Moving to Node #0,0\n"
        "<Start Sub Search 1 at level 1> Moving to Node #0,1\n<End Calling Sub Searches>\n",
        (Branch(0, "Moving to Node #0,0"), Branch(1, "Moving to Node #0,1")),
    ),
}


@pytest.mark.parametrize("name", PLANS)
def test_the_branches_of_a_plan(name: str) -> None:
    text, wanted = PLANS[name]
    assert FORMS[name].plan(text) == wanted


@pytest.mark.parametrize("name", [name for name in PLANS if name != "skeleton"])
def test_no_plan_before_its_end(name: str) -> None:
    text, _ = PLANS[name]
    form = FORMS[name]
    assert form.plan(text[: text.index(form.plan_end)]) == ()
    assert form.plan("Nothing to split.") == ()


def test_the_last_plan_counts() -> None:
    first, _ = PLANS["multiverse"]
    text = first + "…</Parallel>\n<Parallel><Goal><Outline>1: Only</Outline></Goal>"
    assert FORMS["multiverse"].plan(text) == (Branch(1, "Only"),)


def medverse_plan(*needs: str) -> str:
    steps = [
        f"Transient Step {number}: s{number}; Dependency: [{need}]"
        for number, need in enumerate(needs, 1)
    ]
    return "<Plan>" + "\n".join(steps) + "</Plan>"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (medverse_plan("2", "3", "1"), "wait for each other"),
        (medverse_plan("1"), "wait for each other: 1 needs 1"),
        (medverse_plan("", "7"), "branch 2, which needs 7"),
        (medverse_plan("").replace("</Plan>", "") + medverse_plan("")[6:], "branch 1 twice"),
        (medverse_plan(*[""] * 51), "51 branches, more than 50"),
    ],
)
def test_a_plan_that_cannot_be_run_is_the_models_fault(text: str, what: str) -> None:
    with pytest.raises(OutputInvalid, match=what):
        FORMS["medverse"].plan(text)


def test_branches_joined_read_as_one_stream() -> None:
    form = FORMS["threadweaver"]
    plan = form.plan(PLANS["threadweaver"][0])
    joined = form.joined({2: " no", 1: " yes"}, plan)
    assert joined == "<Thread> 1: yes</Thread><Thread> 2: no</Thread>"


def test_paths_without_a_plan() -> None:
    form = FORMS["parathinker"]
    assert [form.head_of(path) for path in numbered_paths(2)] == ["<think1>", "<think2>"]
    assert form.plan("<think>") == ()

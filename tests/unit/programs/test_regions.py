"""Plans that models write, in every published form."""

from __future__ import annotations

import pytest

from weft.errors import InvalidRequest, OutputInvalid
from weft.programs.lead import Control
from weft.programs.region_form import Rebuilt, RegionForm, numbered_paths
from weft.programs.regions import FORMS, Branch

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
        (Branch(0, "Node #0,0"), Branch(1, "Node #0,1")),
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
        (medverse_plan("9" * 5000), "branch 1, which needs 9"),
    ],
)
def test_a_plan_that_cannot_be_run_is_the_models_fault(text: str, what: str) -> None:
    with pytest.raises(OutputInvalid, match=what):
        FORMS["medverse"].plan(text)


def test_outlines_may_end_with_their_line() -> None:
    text = "<Outlines>\n<Outline> 1: Algebra\n<Outline>2: Drawing\n</Outlines>"
    assert FORMS["threadweaver"].plan(text) == (Branch(1, "Algebra"), Branch(2, "Drawing"))


def test_control_tokens_count_in_the_heads_words_and_not_in_its_title() -> None:
    branch = Branch(2, "A {x} -> <|im_end|>")
    assert FORMS["multiverse"].head_parts(branch) == (Control("<Path> 2:"),)
    assert FORMS["medverse"].head_parts(branch) == (
        Control("<Step> Transient Step 2:"),
        " A {x} -> <|im_end|>\n",
    )
    assert FORMS["apr"].head_parts(branch) == ()
    for form in FORMS.values():
        parts = form.head_parts(branch)
        texts = [part.text if isinstance(part, Control) else str(part) for part in parts]
        assert "".join(texts) == form.head_of(branch)


def test_a_form_without_a_plan() -> None:
    form = FORMS["parathinker"]
    assert [form.head_of(path) for path in numbered_paths(2)] == ["<think1>", "<think2>"]
    assert form.tail_of(Branch(2, "")) == "</think2>"
    assert form.plan("<think>") == ()


TRACE = (
    "Moving to Node #0\nCurrent State: 27:[22, 26, 31, 53], Operations: []\n"
    "Generated Node #0,0: 27:[26, 31, 31] Operation: 53-22=31\n"
    "Generated Node #0,0,2: 27:[26, 62] Operation: 31+31=62\n"
)


def test_a_sub_search_starts_from_its_node_and_what_led_there() -> None:
    rebuilt = FORMS["apr"].rebuilt
    assert rebuilt is not None
    assert rebuilt.ask(Branch(1, "Node #0,0,2"), TRACE, "", "") == (
        "Moving to Node #0,0,2\nCurrent State: 27:[26, 62], Operations: ['53-22=31', '31+31=62']"
    )
    assert rebuilt.ask(Branch(1, "Node #7"), TRACE, "", "") == "Moving to Node #7"


def test_only_a_sub_search_that_succeeds_tells_what_it_found() -> None:
    rebuilt = FORMS["apr"].rebuilt
    assert rebuilt is not None
    node = Branch(1, "Node #0,1")
    reached = "<Goal Reached in Sub Search 1 at level 1 at Node #0,1>\n"
    long = "tried\n27,27 equal: Goal Reached\nMoving to Node #0,1\n27,27 equal: Goal Reached\n"
    path = "Moving to Node #0,1\n27,27 equal: Goal Reached\n"
    assert rebuilt.reported(node, long) == f"{reached}{path}\n"
    assert rebuilt.reported(node, "27,27 equal: Goal Reached") == (
        f"{reached}27,27 equal: Goal Reached\n"
    )
    assert rebuilt.reported(node, "No solution found.\n") == (
        "<No Solution in Sub Search 1 at level 1 at Node #0,1>\n"
    )


def test_forms_that_cannot_be_run() -> None:
    rebuilt = Rebuilt(prompt="{title}", report="{text}", replaces_plan=True)
    with pytest.raises(InvalidRequest, match="'x' have the mode 'shared'"):
        RegionForm(name="x", join="so", rebuilt=rebuilt)
    with pytest.raises(InvalidRequest, match="'x' have the mode 'shared'"):
        RegionForm(name="x")
    with pytest.raises(InvalidRequest, match="Plans of form 'x' have no end"):
        RegionForm(name="x", join="so", item="x")
    with pytest.raises(InvalidRequest, match="place of the plan, which has no end"):
        RegionForm(name="x", mode="text", rebuilt=rebuilt)

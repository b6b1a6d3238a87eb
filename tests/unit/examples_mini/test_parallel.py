"""The skills that several streams share: their problems, their documents, their mixture."""

import json
import re
from functools import cache
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
import pytest

from examples.mini import arguments, lists, outline
from examples.mini.branches import BranchEncoder, argument_head, call_branches, name_head, skeleton
from examples.mini.chat_tokenizer import ChatTokenizer
from examples.mini.lanes import CHOICE_WEIGHT, Lane, draw_team
from examples.mini.parallel import WEIGHTS, Documents, alone, training_batches
from examples.mini.problem import is_heldout
from examples.mini.segments import Segment
from examples.mini.stages import from_export
from weft.programs.regions import FORMS
from weft.runtime.model import MINI
from weft.runtime.model.checks import check

SIGNED = re.compile(r"[-+]|\d+")


@cache
def tokenizer() -> ChatTokenizer:
    return from_export(0, MINI).tokenizer


def texts(document: list[Segment]) -> list[str]:
    return [tokenizer().decode(segment.document.ids) for segment in document]


def aimed_at(segment: Segment) -> str:
    """What a stream learns to write."""
    return tokenizer().decode([token for _, token, _ in segment.document.targets])


def test_items_are_solved_step_by_step() -> None:
    rng = Random(0)
    for item in (lists.draw_item(rng) for _ in range(200)):
        chain = re.match(r"[\d +-]*\d", item.ask)
        assert chain is not None
        value = sum(int(sign + number) for sign, number in _terms(chain[0]))
        steps = [step.split() for step in item.line.split(", ")]
        assert int(steps[-1][4]) == value
        for before, after in zip(steps, steps[1:], strict=False):
            assert before[4] == after[0]
        for left, sign, right, _, result, *_ in steps:
            assert int(result) == (int(left) + int(right) * (1 if sign == "+" else -1))
            assert 0 <= int(result) <= lists.MAX_VALUE


def _terms(chain: str) -> list[tuple[str, str]]:
    parts = ["+", *SIGNED.findall(chain)]
    return list(zip(parts[::2], parts[1::2], strict=True))


def test_an_outline_is_a_region_and_its_conclusion_is_right() -> None:
    rng = Random(0)
    for _ in range(50):
        parts = outline.draw_parts(rng)
        item = outline.outline(parts, "total")
        plan = FORMS["multiverse"].plan(item.plan)
        assert [branch.title for branch in plan] == [part.items for part in parts]
        total = sum(part.amount * part.price for part in parts)
        assert item.answer == f"total: {total}"
        assert check({"kind": "conclusion", "answer": item.answer}, item.text)
        most = outline.outline(parts, "most")
        costs = {part.items: part.amount * part.price for part in parts}
        assert most.answer == f"most: {max(costs, key=costs.__getitem__)}"


def test_a_plan_says_nothing_of_what_its_branches_find() -> None:
    item = outline.outline([outline.Part(3, "lamps", 4), outline.Part(2, "pans", 9)], "total")
    assert not re.search(r"12|18|30", item.plan)


def test_arguments_stand_in_the_question() -> None:
    rng = Random(0)
    for _ in range(100):
        problem = arguments.draw(rng)
        question = str(problem.messages[problem.num_prompt - 1]["content"])
        values = problem.check["arguments"]
        assert isinstance(values, dict)
        assert 1 <= len(values) <= arguments.MAX_ARGUMENTS
        for key, value in values.items():
            if isinstance(value, str) and key != "date":
                assert value in question


def test_dates_are_turned_around() -> None:
    shown, value = arguments.date(Random(0))
    weekday, month, day = shown.split()
    assert value == f"{weekday} {day} {month}"


@pytest.mark.parametrize("has_heads", [True, False])
def test_branches_are_parts_of_the_call(has_heads: bool) -> None:
    problem = arguments.draw(Random(3))
    name, wanted = problem.check["name"], problem.check["arguments"]
    assert isinstance(name, str) and isinstance(wanted, dict)
    branches = call_branches(problem, has_heads=has_heads)
    if has_heads:
        assert json.loads(branches.pop(name_head())[0]) == name
    starts = {argument_head(key) if has_heads else skeleton(name, key): key for key in wanted}
    assert {starts[head]: json.loads(parts[0]) for head, parts in branches.items()} == wanted
    for head, (value, rest) in branches.items():
        call = (head + value + "}" + rest).removeprefix("<tool_call>\n")
        json.loads(call.removesuffix("\n</tool_call>").removesuffix("}" * (not has_heads)))


def test_a_value_ends_where_a_token_ends() -> None:
    encoder = BranchEncoder(tokenizer())
    rng = Random(1)
    for _ in range(20):
        for segment in encoder.call(rng, arguments.draw(rng))[1:]:
            pieces = [tokenizer().decode([token]) for token in segment.document.ids]
            assert not any(piece in ('"}', '"}}', '",') for piece in pieces[-6:])


def test_lanes_write_every_item_once() -> None:
    for number, document in enumerate(islice(Documents(tokenizer()).lists(Random(0)), 40)):
        prompt, *lanes = texts(document)
        wanted = re.findall(r"(?m)^(\d+):", prompt)
        written = [line for lane in lanes for line in lane.splitlines()[1:]]
        assert sorted(re.findall(r"(?m)^\d+", "\n".join(written))) == sorted(wanted), number
        heads = [lane.splitlines()[0] for lane in lanes]
        assert all(re.fullmatch(r"Lane \d of \d", head) for head in heads)
        for segment in document[1:]:
            assert "Lane" not in aimed_at(segment)
            assert aimed_at(segment).endswith("<|im_end|>")


def test_a_lane_that_begins_late_takes_what_is_left() -> None:
    heads, items = [[1], [1]], [[2, 3]] * 4
    teams = [draw_team(Random(seed), [9], heads, items, 0) for seed in range(200)]
    shapes = [tuple(len(part.document.ids) for part in document[1:]) for document in teams]
    assert (5, 5) in shapes
    assert (9, 1) in shapes
    assert (9,) in shapes, "a lane that sees no other takes all"


def test_what_a_free_lane_takes_weighs_more() -> None:
    """Behind its head and behind every item: a number, or the end of turn."""
    team = draw_team(Random(1), [9], [[1, 1], [1, 1]], [[2, 3], [4, 5], [6, 7]], 0)
    seen: set[int] = set()
    for lane in team[1:]:
        for _, token, weight in lane.document.targets:
            assert weight == (CHOICE_WEIGHT if token in (2, 4, 6, 0) else 1.0)
            seen.add(token)
    assert seen == {2, 3, 4, 5, 6, 7, 0}


def test_even_lists_have_items_of_one_length() -> None:
    drawn = [lists.draw_even_items(Random(seed)) for seed in range(60)]
    assert all(len({len(item.ask.split()) for item in items}) == 1 for items in drawn)
    assert {len(items) for items in drawn} == set(lists.NUM_ITEMS)


def test_the_length_of_a_lane_grows_from_its_start() -> None:
    lengths_T = Lane([1, 2, 3, 4], 2, 5).length_at(np.arange(4, 10))
    assert lengths_T.tolist() == [0, 2, 3, 4, 4, 4]


def test_an_outline_becomes_a_plan_branches_and_a_conclusion() -> None:
    document = next(Documents(tokenizer()).outlines(Random(2)))
    plan, *paths, conclusion = texts(document)
    assert plan.endswith("</Goal>")
    assert [path.split(":")[0] for path in paths] == [
        f"<Path> {number}" for number in range(1, 1 + len(paths))
    ]
    assert all(path.endswith("</Path>") for path in paths)
    assert conclusion.startswith("<Conclusion>") and conclusion.endswith("</Conclusion>")
    assert "Path" not in aimed_at(document[1]).removesuffix("</Path>")


def test_the_mixture_is_a_hundred_repeats_and_holds_nothing_held_out() -> None:
    assert sum(WEIGHTS.values()) == 100
    problems = list(islice(alone(Random(0)), 100))
    assert {problem.skill for problem in problems} == {"lists", "outline", "arguments"}
    assert not any(is_heldout(problem.skill, problem.key) for problem in problems)


@pytest.mark.slow
def test_batches_repeat_by_seed() -> None:
    drawn = [list(islice(training_batches(tokenizer(), "x"), 12)) for _ in range(2)]
    for one, other in zip(*drawn, strict=True):
        assert one.ids_BT.tolist() == other.ids_BT.tolist()
    assert {batch.views is None for batch in drawn[0]} == {True, False}


def test_held_out_files_hold_the_new_skills() -> None:
    folder = Path(MINI) / "heldout"
    for skill in ("lists", "outline", "arguments"):
        row = json.loads((folder / f"{skill}.jsonl").read_text(encoding="utf-8").splitlines()[0])
        assert row["skill"] == skill

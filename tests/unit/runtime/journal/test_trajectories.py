"""Recorded generations as token trees."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.unit.runtime.journal.records import step_record
from weft.errors import InvalidRequest, JournalCorrupt
from weft.programs import TokenNode
from weft.runtime.journal import StepRecord, tree_of


def recorded(lineage: str, asked: object, wrote: object) -> StepRecord:
    return replace(
        step_record(),
        lineage=lineage,
        kind="gen",
        input_json=json.dumps(asked),
        output_json=json.dumps(wrote),
    )


PAST = {
    "segments": [
        {"tokens": [1, 2], "parents": [], "placing": "shared"},
        {"tokens": [3, 5], "parents": [0], "placing": "shared"},
        {"tokens": [4], "parents": [0], "placing": "shared"},
    ],
    "parents": [1, 2],
    "placing": "rotated",
}
BRANCH = recorded(
    "run/gen",
    {"tokens": [1, 2, 3], "past": None, "n": None, "prompt": "abc"},
    [{"index": 0, "text": "e", "token_ids": [5], "logprobs": [[-0.5, {"5": -0.5}, -0.25]]}],
)
END = recorded(
    "run/gen#2",
    {"tokens": [6], "past": PAST, "n": 2},
    [
        {"index": 0, "token_ids": [7], "logprobs": []},
        {"index": 1, "token_ids": [8], "logprobs": []},
    ],
)


def test_what_was_given_and_drawn() -> None:
    unfinished = replace(BRANCH, output_json=None, status="failed")
    other = replace(BRANCH, kind="step", input_json="[]")
    tree = tree_of([BRANCH, unfinished, other, END])
    assert tree.nodes == (
        TokenNode(tokens=(1, 2)),
        TokenNode(tokens=(3,), parents=(0,)),
        TokenNode(
            tokens=(5,),
            parents=(1,),
            sources=("run/gen",),
            logprobs=(-0.5,),
            behaviours=(-0.25,),
        ),
        TokenNode(tokens=(4,), parents=(0,)),
        TokenNode(tokens=(6,), parents=(2, 3), placing="rotated"),
        TokenNode(tokens=(7,), parents=(4,), sources=("run/gen#2[0]",)),
        TokenNode(tokens=(8,), parents=(4,), sources=("run/gen#2[1]",)),
    )


def test_records_without_a_generation() -> None:
    with pytest.raises(InvalidRequest, match="No finished generation"):
        tree_of([replace(BRANCH, kind="step")])
    with pytest.raises(JournalCorrupt, match="'run/gen' does not say"):
        tree_of([replace(BRANCH, input_json='{"prompt": "abc"}')])


def test_lanes_are_marked() -> None:
    place = {"shared": [1, 2], "has_insertions": True, "index": 0}
    asked = {"tokens": [3], "past": None, "lane": place, "n": None}
    lane = recorded("run/lane1", asked, [{"index": 0, "token_ids": [4], "logprobs": []}])
    tree = tree_of([BRANCH, lane])
    assert "Lanes read each other" in tree.why_not
    assert "given meanwhile counts as drawn" in tree.why_not
    assert tree.nodes[-1] == TokenNode(tokens=(4,), parents=(0,), sources=("run/lane1",))

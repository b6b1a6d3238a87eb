"""Teams and lanes that cannot be, and whom they do not harm."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from typing import Any

import pytest

from tests.support.engines import greedy, request
from tests.support.lanes import team_of, tokens, turn
from tests.support.ticks import Answer, Ticking
from tests.unit.runtime.engine.model.cases import config_of, random_model, runner_of
from weft.errors import InvalidRequest, UnsupportedFeature
from weft.programs.grammar import GrammarSpec
from weft.programs.lane import Lane
from weft.programs.past import Past, Segment
from weft.programs.request import Request
from weft.programs.sampling import MAX_BRANCHES
from weft.runtime.engine import EngineConfig
from weft.runtime.engine.model import ModelRunner

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")

CONFIG = EngineConfig(block_size=4, max_running=4, max_batch_tokens=64)
TEAM = team_of("combined", 2, random.Random(0), lane_tokens=20)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"layout": "sideways"}, "layout is 'sideways'"),
        ({"prompt": ()}, "prompt is empty"),
        ({"num_lanes": 0}, "A team of 0 lanes"),
        ({"num_lanes": 3}, "A team of 3 lanes, 2 at most"),
        ({"max_lanes": MAX_BRANCHES + 1}, "no more than"),
        ({"lane_tokens": 1}, "lane_tokens is 1"),
        ({"step_ends": ("",)}, "Each has between 1 and"),
        ({"step_ends": ("x" * 17,)}, "Each has between 1 and"),
        ({"question": "why?"}, "Give both, or neither"),
        ({"question_every": 3}, "Give both, or neither"),
        ({"question_every": -1}, "Give both, or neither"),
        ({"question": "?" * 20_000, "question_every": 3}, "The question has 20000 characters"),
        ({"step_head": "{step:20000}"}, "the head of a step 20000"),
        ({"step_head": "{other}"}, "may name {lane} and {step} only"),
        ({"step_head": "{0}"}, "may name {lane} and {step} only"),
        ({"step_head": "{"}, "may name {lane} and {step} only"),
        ({"step_head": "{lane[0]}"}, "may name {lane} and {step} only"),
        ({"step_head": "{lane.other}"}, "may name {lane} and {step} only"),
    ],
)
def test_teams_that_cannot_be(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(InvalidRequest, match=match):
        replace(TEAM, **changes)


@pytest.mark.parametrize("index", [-1, 2])
def test_a_lane_has_a_place_in_its_team(index: int) -> None:
    with pytest.raises(InvalidRequest, match="more max_lanes"):
        Lane(team=TEAM, index=index)


@pytest.mark.parametrize(
    "changes",
    [{"n": 2}, {"past": Past(segments=(Segment(tokens=(1,)),), parents=(0,))}],
)
def test_a_lane_writes_one_stream_behind_its_team(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="n=1 and no past"):
        replace(turn(TEAM, 0, (5,), 3), **changes)


def test_what_lanes_are_given_no_grammar_and_no_log_probability_knows() -> None:
    team = replace(TEAM, question="why?", question_every=5)
    asked = turn(team, 0, (5,), 3)
    with pytest.raises(InvalidRequest, match="leave out step_head and question"):
        replace(asked, grammar=GrammarSpec(kind="regex", text="a"))
    with pytest.raises(InvalidRequest, match="leave out step_head and question"):
        replace(asked, sampling=replace(asked.sampling, logprobs=0))


@pytest.fixture(scope="module")
def runner() -> ModelRunner:
    model = random_model(config_of("qwen3-wide", vocab_size=384, max_position_embeddings=128), 0)
    return runner_of(model, path="native")


@needs_compiler
@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"prompt": (5, 999)}, "team's prompt holds the token id 999"),
        ({"own_header": (999,)}, "team's prompt holds the token id 999"),
        ({"max_lanes": 5}, "A team of 5 lanes.*runs 4 sequences"),
        ({"lane_tokens": 60}, "There is room for 59 tokens in each"),
        ({"prompt": (5,) * 126, "lane_tokens": None}, "There is room for 1 tokens in each"),
    ],
)
def test_teams_that_do_not_fit(runner: ModelRunner, changes: dict[str, Any], match: str) -> None:
    engine = Ticking(runner, CONFIG)
    with pytest.raises(InvalidRequest, match=match):
        engine.ask(turn(replace(TEAM, **changes), 0, (5,), 3))


@needs_compiler
@pytest.mark.parametrize(
    "changes", [{"question": "\ud800", "question_every": 3}, {"step_head": "\ud800"}]
)
def test_lanes_are_given_nothing_that_cannot_be_encoded(
    runner: ModelRunner, changes: dict[str, Any]
) -> None:
    engine = Ticking(runner, CONFIG)
    with pytest.raises(InvalidRequest, match="surrogate"):
        engine.ask(turn(replace(TEAM, **changes), 0, (5,), 3))


@needs_compiler
def test_the_pool_bounds_a_team(runner: ModelRunner) -> None:
    """As large as it is let be, it starts; a token more is refused."""
    engine = Ticking(runner, CONFIG, num_blocks=13)
    with pytest.raises(InvalidRequest, match="There is room for 20 tokens in each"):
        engine.ask(turn(replace(TEAM, lane_tokens=21), 0, (5,), 3))
    answers = [engine.ask(turn(replace(TEAM, lane_tokens=None), lane, (5,), 19)) for lane in (0, 1)]
    engine.drain()
    assert [answer.finish_reason for answer in answers] == ["length", "length"]
    assert engine.num_held == 13


THREE = replace(TEAM, max_lanes=3, own_header=(7,))


@needs_compiler
@pytest.mark.parametrize(
    ("refused", "match"),
    [
        (turn(THREE, 0, (5,), 3, request_id="again"), "is still writing"),
        (turn(replace(THREE, own_header=()), 1, (5,), 3), "another one"),
        (turn(THREE, 2, (5,), 3, tenant="other"), "another tenant's"),
        (turn(THREE, 2, (5,), 20), "Ask for at most 19 tokens"),
        (turn(THREE, 2, (5,) * 20, 1), "Ask for at most 0 tokens"),
    ],
)
def test_what_a_team_refuses_changes_nobodys_bits(
    runner: ModelRunner, refused: Request, match: str
) -> None:
    def serve(refused: Request | None) -> tuple[list[Answer], Answer | None]:
        engine = Ticking(runner, CONFIG)
        lanes = [engine.ask(turn(THREE, lane, (5, 6), 12)) for lane in range(2)]
        plain = engine.ask(request("plain", tokens(random.Random(1), 9), greedy(12)))
        engine.tick(4)
        other = None if refused is None else engine.ask(refused)
        engine.drain()
        engine.disband("team")
        engine.drain()
        assert engine.num_held == 0
        return [*lanes, plain], other

    wanted, _ = serve(None)
    found, answer = serve(refused)
    assert answer is not None
    with pytest.raises(InvalidRequest, match=match):
        raise answer.error or AssertionError("it was served")
    assert [one.token_ids for one in found] == [one.token_ids for one in wanted]
    assert [one.logprobs for one in found] == [one.logprobs for one in wanted]


@pytest.mark.parametrize("case", ["llama-dynamic", "gemma2"])
def test_where_queries_cannot_be_turned_lanes_are_refused(case: str) -> None:
    """Angles that depend on the length cannot serve keys that stay as they are."""
    model = random_model(config_of(case, vocab_size=384), 0)
    engine = Ticking(runner_of(model), CONFIG)
    with pytest.raises(UnsupportedFeature, match=r"use a Llama, Mistral.*weft doctor"):
        engine.ask(turn(TEAM, 0, (5,), 3))
    plain = engine.ask(request("plain", (5, 6), greedy(3)))
    engine.drain()
    assert plain.finish_reason == "length"

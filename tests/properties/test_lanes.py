"""Random teams against the dense forward, and random schedules on pools with little room."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from typing import NamedTuple, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedModel

from tests.support.engines import greedy, request
from tests.support.lanes import NaiveTeam, team_of, tokens, turn
from tests.support.ticks import Answer, Ticking
from tests.unit.runtime.engine.model.cases import config_of, random_model, runner_of
from weft.errors import InvalidRequest
from weft.programs.lane import Layout, Team
from weft.programs.past import Past, Segment
from weft.programs.request import Request
from weft.runtime.engine import EngineConfig
from weft.runtime.engine.model import ModelRunner

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")

CONFIG = EngineConfig(block_size=4, max_running=8, max_batch_tokens=64)
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
WORD = "aeiostnr 0123456789"


PAST = Past(
    segments=(
        Segment(tokens=tuple(range(20, 26))),
        Segment(tokens=(30, 31), parents=(0,)),
        Segment(tokens=(40,), parents=(0,)),
    ),
    parents=(1, 2),
)


class Part(NamedTuple):
    """What one lane does in a script."""

    num_given: int
    max_tokens: int
    start: int
    leaves: int
    """The step before which it is cancelled, should it still write then."""


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    config = config_of("qwen3-wide", vocab_size=384, max_position_embeddings=512)
    return random_model(config, 0)


@pytest.fixture(scope="module")
def runner(model: PreTrainedModel) -> ModelRunner:
    return runner_of(model, path="native")


@st.composite
def parts(draw: st.DrawFn) -> Part:
    start = draw(st.integers(0, 8))
    return Part(
        num_given=draw(st.integers(1, 9)),
        max_tokens=draw(st.integers(1, 14)),
        start=start,
        leaves=start + draw(st.integers(1, 20)),
    )


@st.composite
def teams(draw: st.DrawFn) -> Team:
    rng = random.Random(draw(st.integers(0, 9)))
    ends = tuple(sorted(draw(st.sets(st.sampled_from(WORD)))))
    num_header = draw(st.integers(0, 3))
    has_head = draw(st.booleans())
    return team_of(
        draw(st.sampled_from(LAYOUTS)),
        1,
        rng,
        max_lanes=4,
        step_ends=ends,
        others_header=tokens(rng, num_header),
        own_header=tokens(rng, num_header // 2),
        step_head="{lane}/{step} " if ends and has_head else "",
    )


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(team=teams(), script=st.lists(parts(), min_size=1, max_size=4))
def test_random_teams_see_what_their_layout_says(
    model: PreTrainedModel, runner: ModelRunner, team: Team, script: list[Part]
) -> None:
    script[0] = script[0]._replace(start=0, leaves=script[0].leaves - script[0].start)
    rng = random.Random(0)
    heads = [tokens(rng, part.num_given) for part in script]
    engine = Ticking(runner, CONFIG)
    answers: dict[int, Answer] = {}
    for step in range(30):
        for lane, part in enumerate(script):
            if part.start == step:
                answers[lane] = engine.ask(turn(team, lane, heads[lane], part.max_tokens))
            if part.leaves == step:
                engine.cancel(f"team {lane}/{part.num_given}")
        engine.tick(2 if step == 0 else 1)
    written = [answers[lane].token_ids for lane in range(len(script))]
    naive = NaiveTeam(
        team,
        list(zip(heads, written, strict=True)),
        starts=[part.start for part in script],
        encode=engine.encode,
        decode=engine.decode,
    )
    wanted_NV, found_NV = naive.logprobs(model), engine.logprobs()
    assert (wanted_NV - found_NV).abs().max() < 1e-4
    engine.disband("team")
    engine.tick()
    assert engine.num_held == 0


class Act(NamedTuple):
    """One thing that is asked of an engine."""

    kind: str
    name: int
    lane: int
    num_tokens: int
    max_tokens: int
    priority: int


acts = st.builds(
    Act,
    st.sampled_from(
        ["line", "line", "join", "lane", "lane", "lane", "cancel", "disband", "wait", "wait"]
    ),
    st.integers(0, 2),
    st.integers(0, 2),
    st.integers(1, 30),
    st.integers(1, 12),
    st.integers(-1, 1),
)


class _Schedule:
    """Plays acts, and knows every answer."""

    def __init__(self, engine: Ticking) -> None:
        self.engine = engine
        rng = random.Random(0)
        self._teams = [
            team_of(
                LAYOUTS[name],
                2,
                rng,
                team_id=f"team {name}",
                max_lanes=2 + name % 2,
                lane_tokens=16,
                step_ends=("e", "a", "t"),
            )
            for name in range(3)
        ]
        self.answers: list[Answer] = []
        self.lines: dict[int, tuple[Act, Answer]] = {}

    def play(self, at: int, act: Act) -> None:
        if act.kind == "line":
            answer = self.engine.ask(line(at, act))
            self.lines[at] = act, answer
            self.answers.append(answer)
        elif act.kind == "join":
            self.answers.append(self.engine.ask(replace(line(at, act), past=PAST)))
        elif act.kind == "lane":
            self._ask_lane(at, act)
        elif act.kind == "cancel":
            self.engine.cancel(f"{at - 1 - act.name}")
        elif act.kind == "disband":
            self.engine.disband(f"team {act.name}")
        else:
            self.engine.tick(act.max_tokens)

    def _ask_lane(self, at: int, act: Act) -> None:
        team = self._teams[act.name]
        given = tokens(random.Random(at), 1 + act.num_tokens % 6)
        index = min(act.lane, team.max_lanes - 1)
        try:
            asked = turn(
                team, index, given, act.max_tokens, request_id=f"{at}", priority=act.priority
            )
            self.answers.append(self.engine.ask(asked))
        except InvalidRequest:
            pass

    def end(self) -> None:
        self.engine.drain()
        self._check_that_nobody_waits_in_vain()
        for name in range(3):
            self.engine.disband(f"team {name}")
        self.engine.drain()

    def _check_that_nobody_waits_in_vain(self) -> None:
        """Teams alone hold room, and what waits does not fit beside them."""
        engine = self.engine
        started = [team for team in engine.loop.planner.teams.values() if team.is_started]
        assert engine.num_held == sum(3 + 4 * team.spec.max_lanes for team in started)
        num_left = engine.pool.num_blocks - 1 - engine.num_held
        for act, answer in self.lines.values():
            num_tokens = act.num_tokens + len(answer.token_ids)
            assert answer.is_over or num_tokens > 4 * num_left


def line(at: int, act: Act) -> Request:
    asked = request(
        f"{at}", tokens(random.Random(act.name), act.num_tokens), greedy(act.max_tokens)
    )
    return replace(asked, priority=act.priority)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(script=st.lists(acts, max_size=25), num_blocks=st.integers(18, 30))
def test_random_schedules_leave_nothing_behind(
    runner: ModelRunner, script: list[Act], num_blocks: int
) -> None:
    schedule = _Schedule(Ticking(runner, CONFIG, num_blocks))
    for at, act in enumerate(script):
        schedule.play(at, act)
    schedule.end()
    engine = schedule.engine
    assert all(answer.is_over for answer in schedule.answers)
    assert engine.num_held == 0
    assert not engine.loop.planner.has_work
    assert engine.loop.planner.num_places == CONFIG.max_running
    alone = Ticking(runner, CONFIG)
    for at, (act, answer) in schedule.lines.items():
        wanted = alone.ask(line(at, act))
        alone.drain()
        assert answer.token_ids == wanted.token_ids[: len(answer.token_ids)]
        assert answer.finish_reason == "cancelled" or len(answer.token_ids) == act.max_tokens

"""Who waits for whom where teams are served: Tick by Tick, on pools with little room."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from typing import cast

import pytest
import torch

from tests.support.engines import greedy, request
from tests.support.lanes import team_of, tokens, turn
from tests.support.ticks import Answer, Ticking
from tests.support.tiny import build_checkpoint
from tests.unit.runtime.engine.model.cases import config_of, random_model, runner_of
from weft.errors import EngineClosed, EngineOverloaded, LogitsInvalid
from weft.programs.lane import Team
from weft.programs.past import Past, Segment
from weft.programs.request import Request
from weft.runtime.engine import EngineConfig
from weft.runtime.engine.inbox import Close
from weft.runtime.engine.model import ModelRunner
from weft.runtime.engine.model.foreign import CausalDecoder

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")

BAD_TOKEN = 7
CONFIG = EngineConfig(block_size=4, max_running=16, max_batch_tokens=64)


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> ModelRunner:
    return ModelRunner.load(build_checkpoint(tmp_path_factory.mktemp("teams"), head_dim=16))


@pytest.fixture(scope="module")
def broken() -> ModelRunner:
    """No numbers behind one token."""
    model = random_model(config_of("qwen3-wide", vocab_size=384, max_position_embeddings=256), 0)
    with torch.no_grad():
        cast(CausalDecoder, model).model.embed_tokens.weight[BAD_TOKEN] = torch.nan
    return runner_of(model, path="native")


def pair(name: str, rng: random.Random, lane_tokens: int = 20, **more: object) -> Team:
    """Two lanes; 3 blocks of prompt and 5 of each lane, unless said otherwise."""
    return team_of("combined", 2, rng, team_id=name, lane_tokens=lane_tokens, **more)


def ask_all(engine: Ticking, team: Team, max_tokens: int = 6) -> list[Answer]:
    return [engine.ask(turn(team, lane, (20 + lane,), max_tokens)) for lane in range(2)]


def park(engine: Ticking, team: Team) -> None:
    """Let a team come, write, and wait for more."""
    answers = ask_all(engine, team)
    engine.drain()
    assert all(answer.finish_reason == "length" for answer in answers)


def line(name: str, num_tokens: int, max_tokens: int = 4, priority: int = 0) -> Request:
    prompt = tokens(random.Random(name), num_tokens)
    return replace(request(name, prompt, greedy(max_tokens)), priority=priority)


def test_an_incomplete_team_holds_nothing_and_waits_for_a_letter(runner: ModelRunner) -> None:
    engine, team = Ticking(runner, CONFIG), pair("team", random.Random(0))
    first = engine.ask(turn(team, 0, (20,), 6))
    engine.tick()
    assert engine.loop.is_idle
    assert engine.num_held == 0
    second = engine.ask(turn(team, 1, (21,), 6))
    engine.drain()
    assert (first.finish_reason, second.finish_reason) == ("length", "length")
    assert engine.num_held == 3 + 2 * 5
    engine.disband("team")
    engine.drain()
    assert engine.num_held == 0


def test_an_incomplete_team_may_be_disbanded(runner: ModelRunner) -> None:
    engine, team = Ticking(runner, CONFIG), pair("team", random.Random(1))
    first = engine.ask(turn(team, 0, (20,), 6))
    engine.tick()
    engine.disband("team")
    engine.tick()
    assert first.finish_reason == "cancelled"
    assert not engine.loop.planner.teams
    answers = ask_all(engine, team)
    engine.drain()
    assert all(answer.finish_reason == "length" for answer in answers)


@pytest.mark.parametrize("num_ticks", [0, 1, 2])
def test_a_lane_that_is_cancelled_early_holds_up_nobody(
    runner: ModelRunner, num_ticks: int
) -> None:
    """Before the others come, while the prompt is computed, and when it begins."""
    config = replace(CONFIG, max_batch_tokens=16)
    engine = Ticking(runner, config)
    team = pair("team", random.Random(2), prompt=tokens(random.Random(3), 30))
    first = engine.ask(turn(team, 0, (20, 22), 6))
    if num_ticks > 0:
        second = engine.ask(turn(team, 1, (21,), 6))
        engine.tick(num_ticks)
        engine.cancel("team 0/2")
    else:
        engine.cancel("team 0/2")
        engine.tick()
        second = engine.ask(turn(team, 1, (21,), 6))
    engine.drain()
    assert first.finish_reason == "cancelled"
    assert second.finish_reason == "length"
    again = engine.ask(turn(team, 0, (23,), 6))
    engine.drain()
    assert again.finish_reason == "length"


def test_a_team_all_of_whose_lanes_left_before_it_began(runner: ModelRunner) -> None:
    engine, team = Ticking(runner, CONFIG), pair("team", random.Random(4))
    answers = ask_all(engine, team)
    engine.tick()
    for lane in range(2):
        engine.cancel(f"team {lane}/1")
    engine.drain()
    assert [answer.finish_reason for answer in answers] == ["cancelled", "cancelled"]
    plain = engine.ask(line("plain", 9))
    again = engine.ask(turn(team, 1, (23,), 6))
    engine.drain()
    assert (plain.finish_reason, again.finish_reason) == ("length", "length")
    engine.disband("team")
    engine.drain()
    assert engine.num_held == 0


def test_a_prompt_may_be_preempted_before_its_team_begins(runner: ModelRunner) -> None:
    """By a stream that ranks before it and grows."""
    engine, rng = Ticking(runner, CONFIG, num_blocks=21), random.Random(17)
    large = engine.ask(line("large", 9, 60, priority=1))
    engine.tick()
    lanes = ask_all(engine, pair("team", rng, prompt=tokens(rng, 40)))
    while not large.is_over:
        engine.tick()
        assert not any(answer.token_ids for answer in lanes)
    assert engine.loop.planner.num_preemptions == 1
    engine.drain()
    assert large.finish_reason == "length"
    assert all(answer.finish_reason == "length" for answer in lanes)


@pytest.mark.parametrize("num_ticks", [1, 2, 3])
def test_a_team_may_be_disbanded_while_its_prompt_waits_or_is_computed(
    runner: ModelRunner, num_ticks: int
) -> None:
    config = replace(CONFIG, max_batch_tokens=16)
    engine, rng = Ticking(runner, config, num_blocks=21), random.Random(18)
    large = engine.ask(line("large", 60, 9)) if num_ticks == 1 else None
    engine.tick()
    lanes = ask_all(engine, pair("team", rng, prompt=tokens(rng, 40)))
    engine.tick(num_ticks)
    assert not any(answer.is_over for answer in lanes)
    engine.disband("team")
    engine.drain()
    assert [answer.finish_reason for answer in lanes] == ["cancelled", "cancelled"]
    assert large is None or large.finish_reason == "length"
    assert engine.num_held == 0


def test_a_join_that_does_not_fit_beside_a_team_holds_nothing(runner: ModelRunner) -> None:
    """The branches behind it were there, and the stream was stopped for the team: they go too."""
    engine, rng = Ticking(runner, CONFIG, num_blocks=26), random.Random(19)
    branches = [Segment(tokens=tokens(rng, 6), parents=(0,)) for _ in range(2)]
    past = Past(segments=(Segment(tokens=tokens(rng, 9)), *branches), parents=(1, 2))
    joined = engine.ask(replace(line("join", 9, 20, priority=-1), past=past))
    engine.tick(5)
    assert 0 < len(joined.token_ids) < 20
    park(engine, pair("team", rng, 30))
    small = engine.ask(line("small", 12, 9, priority=-2))
    engine.drain()
    assert small.finish_reason == "length"
    assert not joined.is_over
    assert engine.num_held == 3 + 2 * 8
    engine.disband("team")
    engine.drain()
    assert joined.finish_reason == "length"
    assert engine.num_held == 0


def test_a_prompt_that_is_cached_whole_does_not_stall_its_team(runner: ModelRunner) -> None:
    rng = random.Random(5)
    prompt = tokens(rng, 12)
    engine = Ticking(runner, CONFIG)
    for name in ("a", "b"):
        answers = ask_all(engine, pair(name, rng, prompt=prompt))
        engine.drain()
        assert all(answer.finish_reason == "length" for answer in answers)
    assert min(answer.num_cached_tokens for answer in answers) == 12


def test_a_team_that_lost_its_lanes_does_not_stall_what_fits_beside_it(
    runner: ModelRunner,
) -> None:
    """Its prompt is cached whole, so that no Tick comes of it."""
    rng = random.Random(20)
    prompt = tokens(rng, 12)
    engine = Ticking(runner, CONFIG, num_blocks=16)
    park(engine, pair("before", rng, prompt=prompt))
    ask_all(engine, pair("team", rng, prompt=prompt))
    engine.tick()
    for lane in range(2):
        engine.cancel(f"team {lane}/1")
    large, small = engine.ask(line("large", 56)), engine.ask(line("small", 5))
    engine.disband("before")
    engine.drain()
    assert engine.loop.planner.teams["team"].is_started
    assert (large.finish_reason, small.finish_reason) == (None, "length")


def test_a_team_waits_for_a_parked_one_and_holds_up_nobody(runner: ModelRunner) -> None:
    """Room for one team and a little: the second one waits for the first one's end, and what fits
    beside the first is served, whatever ranks before it."""
    engine, rng = Ticking(runner, CONFIG, num_blocks=13 + 8), random.Random(6)
    first, second = pair("first", rng), pair("second", rng)
    park(engine, first)
    waiting = ask_all(engine, second)
    too_large = engine.ask(line("large", 40))
    fits = engine.ask(line("small", 26, 5))
    engine.drain()
    assert fits.finish_reason == "length"
    assert not too_large.is_over
    assert not any(answer.is_over for answer in waiting)
    assert engine.num_held == 13
    engine.disband("first")
    engine.drain()
    assert all(answer.finish_reason == "length" for answer in waiting)
    assert not too_large.is_over
    engine.disband("second")
    engine.drain()
    assert too_large.finish_reason == "length"
    assert engine.num_held == 0


def test_one_of_two_teams_begins_where_only_one_fits(runner: ModelRunner) -> None:
    engine, rng = Ticking(runner, CONFIG, num_blocks=20), random.Random(7)
    first, second = ask_all(engine, pair("first", rng)), ask_all(engine, pair("second", rng))
    engine.drain()
    assert [answer.is_over for answer in (*first, *second)] == [True, True, False, False]
    engine.disband("first")
    engine.drain()
    assert all(answer.finish_reason == "length" for answer in second)


def test_the_team_of_higher_priority_begins_first(runner: ModelRunner) -> None:
    engine, rng = Ticking(runner, CONFIG, num_blocks=20), random.Random(8)
    low = ask_all(engine, pair("low", rng))
    team = pair("high", rng)
    high = [engine.ask(turn(team, lane, (20,), 6, priority=1)) for lane in range(2)]
    engine.drain()
    assert [answer.is_over for answer in (*high, *low)] == [True, True, False, False]


def test_those_that_rank_after_a_team_make_room_for_it(runner: ModelRunner) -> None:
    """And come back when it is over, with the tokens that they would have had."""
    team = pair("team", random.Random(9))
    roomy = Ticking(runner, CONFIG)
    wanted = [roomy.ask(line(name, 9, 30)) for name in "ab"]
    roomy.drain()
    engine = Ticking(runner, CONFIG, num_blocks=21)
    low = [engine.ask(line(name, 9, 30, priority=-1)) for name in "ab"]
    engine.tick(8)
    lanes = ask_all(engine, team)
    engine.drain()
    assert engine.loop.planner.num_preemptions > 0
    assert all(answer.finish_reason == "length" for answer in lanes)
    engine.disband("team")
    engine.drain()
    assert [answer.token_ids for answer in low] == [answer.token_ids for answer in wanted]
    assert engine.num_held == 0


def test_teams_with_long_texts_take_turns(runner: ModelRunner) -> None:
    """One that fills whole Ticks is not kept waiting for one that decodes, nor keeps it."""
    config = replace(CONFIG, max_batch_tokens=16)
    engine, rng = Ticking(runner, config), random.Random(16)
    first = ask_all(engine, pair("first", rng, 60), max_tokens=50)
    engine.tick(5)
    team = pair("second", rng, 60)
    second = [engine.ask(turn(team, lane, tokens(rng, 40), 6)) for lane in range(2)]
    engine.tick(14)
    assert all(5 < len(answer.token_ids) < 20 for answer in first)
    assert all(len(answer.token_ids) > 0 for answer in second)


def test_those_who_come_later_take_no_place_that_a_team_waits_for(runner: ModelRunner) -> None:
    engine = Ticking(runner, replace(CONFIG, max_running=3))
    engine.ask(line("first", 5, 10))
    engine.ask(line("second", 5, 20))
    engine.tick()
    lanes = ask_all(engine, pair("team", random.Random(21)))
    late: list[Answer] = []
    for at in range(12):
        late.append(engine.ask(line(f"late {at}", 5, 20)))
        engine.tick(2)
    assert all(answer.finish_reason == "length" for answer in lanes)
    engine.drain()
    assert all(answer.finish_reason == "length" for answer in late)


def test_a_team_takes_the_places_of_all_its_lanes(runner: ModelRunner) -> None:
    config = replace(CONFIG, max_running=4)
    engine, rng = Ticking(runner, config), random.Random(10)
    park(engine, pair("three", rng, max_lanes=3))
    assert engine.loop.planner.num_places == 1
    waiting = ask_all(engine, pair("two", rng))
    plain = [engine.ask(line(name, 5)) for name in "abc"]
    engine.drain()
    assert all(answer.finish_reason == "length" for answer in plain)
    assert not any(answer.is_over for answer in waiting)
    engine.disband("three")
    engine.drain()
    assert all(answer.finish_reason == "length" for answer in waiting)


def test_lanes_are_no_queue(runner: ModelRunner) -> None:
    """What comes to a team that is there never waits in the queue, and is not refused for it."""
    config = replace(CONFIG, max_waiting=1, max_running=3)
    engine, team = Ticking(runner, config), pair("team", random.Random(11))
    park(engine, team)
    plain = [engine.ask(line("a", 5, 9))]
    engine.tick()
    plain += [engine.ask(line(name, 5)) for name in "bc"]
    lane = engine.ask(turn(team, 0, (1, 2), 3))
    late = engine.ask(turn(pair("late", random.Random(12)), 0, (1, 2), 3))
    engine.drain()
    assert isinstance(plain[2].error, EngineOverloaded)
    assert isinstance(late.error, EngineOverloaded)
    assert lane.finish_reason == "length"
    assert [answer.finish_reason for answer in plain[:2]] == ["length", "length"]


def test_a_request_named_like_a_team_is_another_thing(runner: ModelRunner) -> None:
    engine, team = Ticking(runner, CONFIG), pair("team", random.Random(13))
    lane = engine.ask(replace(turn(team, 0, (20,), 6), request_id="team"))
    other = engine.ask(turn(team, 1, (20,), 6))
    engine.tick(3)
    engine.cancel("team")
    engine.drain()
    assert (lane.finish_reason, other.finish_reason) == ("cancelled", "length")
    engine.disband("team")
    engine.drain()
    assert engine.num_held == 0


def test_a_lane_at_fault_harms_nobody_who_does_not_see_it(broken: ModelRunner) -> None:
    """Nor what its blocks hold those who have them afterwards."""

    def serve(token_id: int) -> tuple[list[Answer], list[Answer]]:
        engine = Ticking(broken, CONFIG, num_blocks=40)
        team = replace(pair("team", random.Random(14)), layout="blind")
        lanes = [engine.ask(turn(team, lane, (20, token_id)[: 2 - lane], 6)) for lane in range(2)]
        plain = engine.ask(line("plain", 9, 12))
        engine.drain()
        engine.disband("team")
        after = engine.ask(line("after", 30, 99))
        engine.drain()
        assert engine.num_held == 0
        return lanes, [lanes[1], plain, after]

    _, wanted = serve(21)
    [bad, _], found = serve(BAD_TOKEN)
    assert isinstance(bad.error, LogitsInvalid)
    assert [one.logprobs for one in found] == [one.logprobs for one in wanted]
    assert [one.token_ids for one in found] == [one.token_ids for one in wanted]


def test_closing_ends_teams(runner: ModelRunner) -> None:
    engine, rng = Ticking(runner, CONFIG), random.Random(15)
    park(engine, pair("parked", rng))
    lanes = ask_all(engine, pair("open", rng))
    alone = engine.ask(turn(pair("incomplete", rng), 0, (20,), 6))
    engine.tick(2)
    engine.post(Close())
    engine.loop.run()
    assert all(isinstance(answer.error, EngineClosed) for answer in (*lanes, alone))
    assert engine.num_held == 0

"""What lanes see, Tick by Tick: against a dense forward over all that was written, and against
transformers' own where one line was written.

Shapes: N drawn tokens, V vocabulary.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, cast

import pytest
import torch
from transformers import PreTrainedModel

from tests.support.echo_model import EchoRunner
from tests.support.engines import greedy, request
from tests.support.lanes import NaiveTeam, Turn, team_of, tokens, turn
from tests.support.ticks import Answer, Ticking
from tests.unit.runtime.engine.model.cases import (
    config_of,
    random_model,
    reference_logits,
    runner_of,
)
from weft.cache.kv_store import KVStore
from weft.programs.lane import Layout, Team
from weft.runtime.engine import EngineConfig
from weft.runtime.engine.batch import PackedBatch
from weft.runtime.engine.model import ModelRunner

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")

LAYOUTS: tuple[Layout, ...] = ("contiguous", "interleaved", "combined", "blind")
CASES = ("llama", "llama-linear", "llama-yarn", "llama-llama3", "qwen2", "qwen3-wide")
CONFIG = EngineConfig(block_size=4, max_running=16, max_batch_tokens=64)


class Subject(NamedTuple):
    model: PreTrainedModel
    runner: ModelRunner


def subject_of(case: str, window: int) -> Subject:
    model = random_model(config_of(case, vocab_size=384, max_position_embeddings=window), 0)
    return Subject(model, runner_of(model, path="native"))


@pytest.fixture(scope="module")
def subjects() -> Mapping[str, Subject]:
    return {case: subject_of(case, 512) for case in CASES}


@pytest.fixture(scope="module")
def qwen(subjects: Mapping[str, Subject]) -> Subject:
    return subjects["qwen3-wide"]


def begin(
    engine: Ticking, team: Team, heads: Sequence[Sequence[int]], lengths: Sequence[int]
) -> list[Answer]:
    """Lanes that come together; the Tick after their prompt's is the first of theirs."""
    return [
        engine.ask(turn(team, lane, head, length))
        for lane, (head, length) in enumerate(zip(heads, lengths, strict=True))
    ]


def assert_dense(engine: Ticking, model: PreTrainedModel, naive: NaiveTeam) -> None:
    wanted_NV, found_NV = naive.logprobs(model), engine.logprobs()
    assert (wanted_NV - found_NV).abs().max() < 1e-4
    wanted_N = wanted_NV[range(len(naive.drawn)), [one.token_id for one in naive.drawn]]
    if naive.num_given == 0:
        assert (wanted_NV.max(-1).values - wanted_N).max() < 1e-4, "not the likeliest tokens"


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("seed", range(3))
def test_one_lane_however_it_is_cut_is_a_plain_causal_forward(
    qwen: Subject, layout: Layout, seed: int
) -> None:
    rng = random.Random(seed)
    ends = tuple(rng.sample("aeiostnr 0123", k=rng.randint(1, 8)))
    team = team_of(layout, 1, rng, step_ends=ends)
    engine = Ticking(qwen.runner, replace(CONFIG, max_batch_tokens=rng.choice([16, 64])))
    head = tokens(rng, rng.randint(1, 20))
    answer = engine.ask(turn(team, 0, head, 40))
    engine.drain()
    line = [*team.prompt, *head, *answer.token_ids]
    wanted_NV = reference_logits(qwen.model, line)[-41:-1].log_softmax(-1)
    assert (wanted_NV - engine.logprobs()).abs().max() < 1e-4


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("layout", ["contiguous", "combined"])
def test_every_way_to_turn_queries(
    subjects: Mapping[str, Subject], case: str, layout: Layout
) -> None:
    """Scaled angles too, of which some lengthen what they turn."""
    rng, subject = random.Random(case), subjects[case]
    team = team_of(layout, 3, rng, step_ends=tuple("aeiost"), own_header=tokens(rng, 2))
    engine = Ticking(subject.runner, CONFIG)
    heads = [tokens(rng, 2), tokens(rng, 5), tokens(rng, 1)]
    answers = begin(engine, team, heads, [20, 12, 16])
    engine.drain()
    written = [answer.token_ids for answer in answers]
    naive = NaiveTeam(team, list(zip(heads, written, strict=True)), decode=engine.decode)
    assert_dense(engine, subject.model, naive)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("ends", [(), ("e", "a", "t", "o", "s", " ")])
def test_lanes_are_given_heads_and_questions(
    qwen: Subject, layout: Layout, ends: tuple[str, ...]
) -> None:
    rng = random.Random(len(ends))
    team = team_of(
        layout,
        3,
        rng,
        lane_tokens=90,
        step_ends=ends,
        step_head="{lane}:{step} " if ends else "",
        question="needed? ",
        question_every=9,
    )
    engine = Ticking(qwen.runner, CONFIG)
    heads = [tokens(rng, 4), tokens(rng, 1), tokens(rng, 9)]
    answers = begin(engine, team, heads, [40, 25, 33])
    engine.drain()
    written = [answer.token_ids for answer in answers]
    assert "needed? " in engine.decode(written[0])
    assert not ends or "1:2 " in engine.decode(written[0])
    naive = NaiveTeam(
        team,
        list(zip(heads, written, strict=True)),
        encode=engine.encode,
        decode=engine.decode,
    )
    assert_dense(engine, qwen.model, naive)


class Scribe(EchoRunner):
    """Writes what it is told, whatever it sees."""

    sees_branches = True

    def __init__(self, token_ids: Sequence[int]) -> None:
        self._token_ids = token_ids

    def forward(self, batch: PackedBatch, kv: KVStore) -> torch.Tensor:
        logits_RV = torch.zeros(len(batch.logit_rows_R), self.vocab_size)
        places_R = batch.positions_T[batch.logit_rows_R]
        logits_RV[range(len(places_R)), [self._token_ids[place] for place in places_R]] = 1
        return logits_RV


def test_the_end_of_a_step_may_take_many_tokens() -> None:
    """16 characters of 3 bytes, each byte a token."""
    encode = Ticking(cast(ModelRunner, Scribe(())), CONFIG).encode
    end = "線" * 16
    written, head = encode("a" + end), encode("next: ")
    assert len(written) == 49
    engine = Ticking(cast(ModelRunner, Scribe(written * 2)), CONFIG)
    team = team_of("interleaved", 1, random.Random(0), step_ends=(end,), step_head="next: ")
    answer = engine.ask(turn(team, 0, (5,), 59))
    engine.drain()
    assert engine.decode(answer.token_ids[: 49 + len(head)]) == "a" + end + "next: "


@pytest.mark.parametrize("layout", LAYOUTS)
def test_lanes_come_leave_and_go_on_while_others_write(qwen: Subject, layout: Layout) -> None:
    """A third lane joins at the fifth step, the first leaves at the eighth, what it wrote stays
    seen; the second is asked more when it is done, and the first comes back."""
    rng = random.Random(9)
    team = team_of(layout, 2, rng, max_lanes=3, step_ends=tuple("aeiost"))
    engine = Ticking(qwen.runner, CONFIG)
    heads = [tokens(rng, 3), tokens(rng, 2), tokens(rng, 6)]
    first, second = begin(engine, team, heads[:2], [50, 10])
    engine.tick(1 + 5)
    third = engine.ask(turn(team, 2, heads[2], 30))
    engine.tick(3)
    engine.cancel("team 0/3")
    engine.tick(4)
    assert (first.finish_reason, second.finish_reason) == ("cancelled", "length")
    more = [tokens(rng, 4), tokens(rng, 7)]
    again = engine.ask(turn(team, 1, more[0], 8))
    engine.tick(2)
    back = engine.ask(turn(team, 0, more[1], 9))
    engine.drain()
    assert len(first.token_ids) == 8
    naive = NaiveTeam(
        team,
        [(heads[at], one.token_ids) for at, one in enumerate((first, second, third))],
        starts=[0, 0, 5],
        turns=[Turn(1, 12, more[0], again.token_ids), Turn(0, 14, more[1], back.token_ids)],
        decode=engine.decode,
    )
    assert_dense(engine, qwen.model, naive)
    assert again.num_cached_tokens == 9 + 2 + 9


@pytest.mark.parametrize("how", ["stop token", "stop string"])
def test_a_lane_goes_on_behind_what_stopped_it(qwen: Subject, how: str) -> None:
    """A stop token is no part of what the lane wrote; the text of a stop string is."""
    rng = random.Random(12)
    team, head, more = team_of("contiguous", 1, rng), tokens(rng, 3), tokens(rng, 4)
    engine = Ticking(qwen.runner, CONFIG)
    free = engine.ask(turn(team, 0, head, 20))
    engine.drain()
    engine.disband("team")
    last = free.token_ids[9]
    stop: dict[str, object] = {"stop_token_ids": (last,)}
    if how == "stop string":
        stop = {"stop": (engine.decode([last]),)}
    engine = Ticking(qwen.runner, CONFIG)
    begun = engine.ask(turn(team, 0, head, 20, sampling=stop))
    engine.drain()
    assert begun.finish_reason == "stop"
    assert begun.token_ids[-1] == last
    more_of_it = engine.ask(turn(team, 0, more, 9))
    engine.drain()
    written = begun.token_ids[:-1] if how == "stop token" else begun.token_ids
    line = [*team.prompt, *head, *written, *more, *more_of_it.token_ids]
    wanted_NV = reference_logits(qwen.model, line)[-10:-1].log_softmax(-1)
    assert (wanted_NV - engine.logprobs()[-9:]).abs().max() < 1e-4


def serve_beside(qwen: Subject, config: EngineConfig, *, is_busy: bool) -> list[Answer]:
    """One team; if busy, beside others, on blocks that others have used in their own order."""
    rng = random.Random(10)
    team = team_of("combined", 3, rng, step_ends=tuple("aeiost"), others_header=(5, 6))
    heads = [tokens(rng, 4), tokens(rng, 1), tokens(rng, 20)]
    engine = Ticking(qwen.runner, config, num_blocks=200)
    if is_busy:
        for at in range(6):
            engine.ask(request(f"before {at}", tokens(rng, 30), greedy(rng.randint(1, 9))))
        engine.drain()
        for at in range(5):
            engine.ask(request(f"beside {at}", tokens(rng, 30), greedy(30)))
        other = team_of("contiguous", 2, rng, team_id="other", lane_tokens=40)
        begin(engine, other, [tokens(rng, 9)] * 2, [25, 9])
        engine.tick(2)
    answers = begin(engine, team, heads, [15, 20, 9])
    engine.drain()
    return answers


@pytest.mark.slow
def test_neither_the_order_of_blocks_nor_who_is_served_beside_it_shows(qwen: Subject) -> None:
    wanted = serve_beside(qwen, CONFIG, is_busy=False)
    larger = replace(CONFIG, max_batch_tokens=512)
    for config, is_busy in ((CONFIG, True), (larger, False), (larger, True)):
        found = serve_beside(qwen, config, is_busy=is_busy)
        assert [one.token_ids for one in found] == [one.token_ids for one in wanted]
        assert [one.logprobs for one in found] == [one.logprobs for one in wanted]


def test_neighbours_keep_their_bits(qwen: Subject) -> None:
    rng = random.Random(11)
    plain = replace(request("plain", tokens(rng, 30), greedy(40)))
    plain = replace(plain, sampling=replace(plain.sampling, logprobs=0))
    alone = Ticking(qwen.runner, CONFIG)
    wanted = alone.ask(plain)
    alone.drain()
    engine = Ticking(qwen.runner, CONFIG)
    found = engine.ask(plain)
    team = team_of("combined", 3, rng, step_ends=("e", "a"))
    begin(engine, team, [tokens(rng, 5)] * 3, [20, 30, 9])
    engine.tick(20)
    engine.disband("team")
    engine.drain()
    assert found.logprobs == wanted.logprobs


def test_the_index_knows_a_teams_prompt_and_nothing_of_its_lanes(qwen: Subject) -> None:
    rng = random.Random(13)
    team = team_of("contiguous", 2, rng, prompt=tokens(rng, 24))
    heads = [tokens(rng, 8)] * 2
    engine = Ticking(qwen.runner, CONFIG)
    written = begin(engine, team, heads, [12, 12])
    engine.drain()
    engine.disband("team")
    engine.tick()
    assert (engine.num_held, engine.tree.num_evictable_blocks) == (0, 6)
    alike = engine.ask(request("alike", (*heads[0], 5), greedy(1)))
    engine.drain()
    assert alike.num_cached_tokens == 0
    second = begin(engine, replace(team, team_id="second"), heads, [12, 12])
    engine.drain()
    assert [one.num_cached_tokens for one in second] == [24, 24]
    assert [one.logprobs for one in second] == [one.logprobs for one in written]
    line = engine.ask(request("line", (*team.prompt, *heads[0], *written[0].token_ids), greedy(1)))
    engine.drain()
    assert line.num_cached_tokens == 24


@pytest.mark.parametrize("length", [9, pytest.param(260, marks=pytest.mark.slow)])
def test_after_a_thousand_merges_the_error_is_that_of_one(length: int) -> None:
    """Every token ends a step; what moved to the history lies as it was written."""
    rng, subject = random.Random(14), subject_of("llama-yarn", 2048)
    team = team_of("interleaved", 4, rng, lane_tokens=280, step_ends=("end",))
    engine = Ticking(subject.runner, CONFIG, decode=lambda _: "end")
    heads = [tokens(rng, 2) for _ in range(4)]
    answers = begin(engine, team, heads, [length] * 4)
    engine.tick(8)
    served = engine.loop.planner.teams["team"]
    early = [table.slots_for(0, 8) for table in served.tables]
    stored = [engine.kv.layer(0).keys_NHD[slots].clone() for slots in early]
    engine.drain()
    for slots, keys in zip(early, stored, strict=True):
        assert torch.equal(engine.kv.layer(0).keys_NHD[slots], keys)
    written = [answer.token_ids for answer in answers]
    naive = NaiveTeam(team, list(zip(heads, written, strict=True)), decode=engine.decode)
    assert naive.num_merged == 4 * (length - 2)
    assert_dense(engine, subject.model, naive)

"""When tokens are sent: the first and the last at once, those between together."""

from __future__ import annotations

import math
import random

import pytest

from tests.support.engines import greedy, request
from tests.support.lanes import tokens
from tests.support.ticks import Ticking
from tests.support.tiny import build_checkpoint
from weft.errors import InvalidRequest
from weft.runtime.engine import EngineConfig
from weft.runtime.engine.inbox import Close
from weft.runtime.engine.model import ModelRunner

CONFIG = EngineConfig(
    block_size=4, max_running=8, max_batch_tokens=64, speculation="off", stream_interval_s=3.0
)


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> ModelRunner:
    return ModelRunner.load(build_checkpoint(tmp_path_factory.mktemp("desk"), head_dim=16))


def test_tokens_between_the_first_and_the_last_are_sent_when_it_is_time(
    runner: ModelRunner,
) -> None:
    clock, rng = Clock(), random.Random(0)
    engine = Ticking(runner, CONFIG, clock=clock)
    one, other = [engine.ask(request(name, tokens(rng, 5), greedy(12))) for name in "ab"]
    engine.tick()
    assert (one.num_deltas, len(one.token_ids)) == (1, 1)
    engine.tick()  # the first that are held set off the clock
    sent = len(one.token_ids)
    engine.tick(3)
    assert (len(one.token_ids), len(other.token_ids)) == (sent, sent)
    clock.now = 2.9
    engine.tick()
    assert len(one.token_ids) == sent
    clock.now = 3.1
    engine.tick()
    assert len(one.token_ids) == len(other.token_ids) == sent + 5
    engine.drain()
    for answer in (one, other):
        assert (len(answer.token_ids), answer.finish_reason) == (12, "length")
        assert answer.num_deltas == 4


def test_tokens_are_sent_before_the_engine_sleeps_or_ends(runner: ModelRunner) -> None:
    """What is cancelled, and what fails, has first what was drawn for it."""
    rng = random.Random(1)
    engine = Ticking(runner, CONFIG, clock=Clock())
    for name in ("cancelled", "failed"):
        answer = engine.ask(request(name, tokens(rng, 5), greedy(40)))
        engine.tick(6)
        assert len(answer.token_ids) < 6
        if name == "cancelled":
            engine.cancel(name)
            engine.tick()
            assert (len(answer.token_ids), answer.finish_reason) == (6, "cancelled")
        else:
            engine.post(Close())
            engine.loop.run()
            assert len(answer.token_ids) >= 6
            assert answer.error is not None


def test_without_an_interval_every_tick_sends(runner: ModelRunner) -> None:
    config = EngineConfig(
        block_size=4, max_batch_tokens=256, speculation="off", stream_interval_s=0
    )
    engine = Ticking(runner, config, clock=Clock())
    answer = engine.ask(request("a", tokens(random.Random(2), 5), greedy(9)))
    engine.drain()
    assert (answer.num_deltas, len(answer.token_ids)) == (9, 9)


@pytest.mark.parametrize("interval_s", [-0.1, math.inf, math.nan])
def test_an_interval_must_be_a_time(interval_s: float) -> None:
    with pytest.raises(InvalidRequest, match="stream_interval_s is"):
        EngineConfig(stream_interval_s=interval_s)


def test_one_block_more_is_not_waited_for(runner: ModelRunner) -> None:
    """A prompt waits for one that begins alike and is being computed, but not for one block more
    than some that are there already."""
    rng = random.Random(3)
    start = tokens(rng, 16)
    engine = Ticking(runner, CONFIG)
    engine.ask(request("before", start, greedy(1)))
    engine.drain()
    for num_more, num_waiting in [(5, 0), (9, 1)]:
        more = (*start, *tokens(rng, num_more))
        answers = [engine.ask(request(f"{num_more}{at}", (*more, at), greedy(3))) for at in (7, 8)]
        engine.tick()
        assert len(engine.loop.planner.waiting) == num_waiting
        engine.drain()
        assert all(answer.finish_reason == "length" for answer in answers)

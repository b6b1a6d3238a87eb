"""The same work for every engine, and how its rate is taken."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal, cast

import pytest

from weft.errors import PeerFailed
from weft.runtime.bench.workload import MAX_PILOTS, PILOT_S, Workload


class LinearEngine:
    """Takes ``setup_s`` per call, ``prompt_s`` per prompt token and ``token_s`` per later step."""

    peer = "linear"

    def __init__(self, *, setup_s: float = 0.0, prompt_s: float = 0.0, token_s: float = 0.0):
        self.setup_s, self.prompt_s, self.token_s = setup_s, prompt_s, token_s
        self.calls: list[tuple[list[list[int]], int]] = []

    def call(self, operation: str, *, timeout_s: float = 0.0, **arguments: object) -> float:
        assert operation == "generate"
        prompts = cast("list[list[int]]", arguments["prompts"])
        num_tokens = cast("int", arguments["num_tokens"])
        self.calls.append((prompts, num_tokens))
        num_prompt_tokens = sum(len(prompt) for prompt in prompts)
        return self.setup_s + self.prompt_s * num_prompt_tokens + self.token_s * (num_tokens - 1)


def workload(
    phase: Literal["decode", "prefill"] = "decode", *, batch: int = 4, seed: int = 0
) -> Workload:
    return Workload(model="mini", phase=phase, batch=batch, prompt_tokens=8, seed=seed)


def test_decode_rate_leaves_out_prefill_and_setup() -> None:
    engine = LinearEngine(setup_s=0.5, prompt_s=0.01, token_s=0.02)
    assert workload().rate(engine, 0, 33) == pytest.approx(4 / 0.02)
    assert [num_tokens for _, num_tokens in engine.calls] == [1, 33]


def test_prefill_rate_counts_prompt_tokens_over_enough_calls() -> None:
    engine = LinearEngine(prompt_s=0.005)
    assert workload("prefill").rate(engine, 0, 1) == pytest.approx(200.0)
    assert len(engine.calls) == 3
    assert {num_tokens for _, num_tokens in engine.calls} == {1}


class WarmingEngine(LinearEngine):
    """Takes ten times as long for its first calls."""

    def call(self, operation: str, *, timeout_s: float = 0.0, **arguments: object) -> float:
        seconds = super().call(operation, timeout_s=timeout_s, **arguments)
        return seconds * (10 if len(self.calls) <= 2 else 1)


def test_a_trial_is_judged_by_its_best_call_after_the_first() -> None:
    engine = WarmingEngine(setup_s=0.001)
    assert workload().pilot(engine) == pytest.approx(4 * 4 / 0.001)


def test_a_short_first_call_is_not_taken_at_its_word() -> None:
    engine = WarmingEngine(setup_s=0.001)
    workload().warm(engine)
    assert len(engine.calls) == 2
    slow = LinearEngine(setup_s=2.0)
    assert workload().warm(slow) == pytest.approx(4 * 4 / 2.0)
    assert len(slow.calls) == 1


def test_a_slow_trial_is_not_repeated() -> None:
    engine = LinearEngine(setup_s=PILOT_S)
    workload().pilot(engine)
    assert len(engine.calls) == 2


def test_no_two_calls_share_a_prompt() -> None:
    engine = LinearEngine(token_s=0.01, prompt_s=0.001)
    point = workload()
    point.pilot(engine)
    for number in range(3):
        point.rate(engine, number, 9)
    prompts = [tuple(prompt) for prompts, _ in engine.calls for prompt in prompts]
    num_trials = 1 + MAX_PILOTS
    assert len(set(prompts)) == len(prompts) == (num_trials + 3 * 2) * 4


def test_every_engine_gets_the_same_prompts_and_another_seed_gives_others() -> None:
    first, second = LinearEngine(token_s=0.01), LinearEngine(token_s=0.07)
    for engine in (first, second):
        workload().rate(engine, 2, 9)
    assert first.calls == second.calls
    assert workload(seed=1).prompts("x") != workload().prompts("x")


class BackwardsEngine:
    """One token takes longer than many."""

    peer = "backwards"

    def __init__(self, times: Sequence[float]) -> None:
        self._times = itertools.cycle(times)

    def call(self, operation: str, *, timeout_s: float = 0.0, **arguments: object) -> float:
        return next(self._times)


def test_a_disturbed_pair_is_taken_again() -> None:
    assert workload().rate(BackwardsEngine([2.0, 1.0, 1.0, 2.0]), 0, 9) == pytest.approx(32.0)


def test_a_machine_too_busy_to_measure_on_is_an_error() -> None:
    with pytest.raises(PeerFailed, match="too busy") as caught:
        workload().rate(BackwardsEngine([2.0, 1.0]), 0, 9)
    assert caught.value.peer == "backwards"


@pytest.mark.parametrize(("rate", "expected"), [(1.0, 8), (400.0, 100), (1e9, 128)])
def test_tokens_fill_the_time_within_bounds(rate: float, expected: int) -> None:
    assert workload().tokens_for(rate, 1.0) == expected


def test_figures_are_named_as_promised() -> None:
    assert workload(batch=8).figure("vs_vllm") == "mini_decode_vs_vllm_b8"
    assert workload("prefill").figure("vs_vllm") == "mini_prefill_vs_vllm"

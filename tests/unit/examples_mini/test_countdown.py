"""The Countdown solver against brute force."""

from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest

from examples.mini import countdown
from examples.mini.problem import is_heldout
from weft.runtime.model.checks import countdown_step


def brute_force(state: tuple[int, ...]) -> Iterator[int]:
    """Yield the last value of every sequence of operations the checker accepts."""
    if len(state) == 1:
        yield state[0]
        return
    operations = {
        f"{large}{sign}{small}"
        for large in state
        for small in state
        for sign in "+-*/"
        if large >= small
    }
    for operation in sorted(operations):
        after = countdown_step(state, operation)
        if after is not None and max(after) <= countdown.MAX_VALUE:
            yield from brute_force(after)


@pytest.mark.parametrize("state", [(3, 5), (2, 2, 4), (1, 6, 6), (5, 7, 20), (1, 1, 1)])
def test_reachable_counts_every_sequence(state: tuple[int, ...]) -> None:
    assert countdown.reachable(state) == Counter(brute_force(state))


def test_four_numbers_agree_with_brute_force_on_one_instance() -> None:
    state = (2, 3, 4, 5)
    assert countdown.reachable(state) == Counter(brute_force(state))


def test_a_sampled_solution_solves() -> None:
    rng = Random(0)
    for _ in range(20):
        state, target = countdown.draw_instance(rng)
        reached: tuple[int, ...] | None = state
        for operation, after in countdown.sample_solution(rng, state, target):
            assert reached is not None
            reached = countdown_step(reached, operation)
            assert reached == after
        assert reached == (target,)


def test_shares_are_those_of_the_solutions() -> None:
    options = countdown.solving_operations((2, 3, 4), 24)
    assert sum(share for share, _ in options.values()) == pytest.approx(1.0)
    for share, after in options.values():
        assert share > 0
        assert 24 in countdown.reachable(after)


def test_an_unreachable_target_is_named() -> None:
    with pytest.raises(ValueError, match="99 cannot be reached"):
        countdown.sample_solution(Random(0), (1, 1), 99)


def test_a_dialogue_of_states_shows_right_operations_and_no_heldout_instance() -> None:
    rng = Random(0)
    for _ in range(50):
        problem = countdown.draw_states(rng)
        turns = [str(item["content"]) for item in problem.messages[1:]]
        for shown, operation in zip(turns[::2], turns[1::2], strict=True):
            target, listed = shown.split(":")
            numbers = [int(number) for number in listed.split()]
            assert len(numbers) == 3 or not is_heldout("countdown", shown)
            after = countdown_step(numbers, operation)
            assert after is not None
            assert int(target) in countdown.reachable(after)

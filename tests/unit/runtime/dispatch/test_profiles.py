"""What earlier Runs tell about the next."""

from __future__ import annotations

from weft.runtime.dispatch.profiles import MAX_PROGRAMS, UNKNOWN_TOKENS, Left, Profiles


def test_nothing_is_known_at_first() -> None:
    profiles = Profiles()
    assert profiles.left("p", 0) is None
    assert profiles.expected_output("p", None) == UNKNOWN_TOKENS
    assert profiles.expected_output("p", 7) == 7


def test_what_is_left_is_the_mean_of_runs_that_made_as_many_calls() -> None:
    profiles = Profiles()
    profiles.ended("p", (1.0, 2.0, 3.0, 4.0))
    profiles.ended("p", (2.0, 4.0))
    assert profiles.left("p", 0) == Left(2, 4.0)
    assert profiles.left("p", 1) == Left(2, 3.0)
    assert profiles.left("p", 2) == Left(1, 2.0)


def test_a_call_that_is_asked_is_never_behind_the_end() -> None:
    """A Run that outlasts all earlier ones is not taken to be done: its KV would be worthless."""
    profiles = Profiles()
    for num_calls in (1, 2, 5, 5):
        profiles.ended("p", tuple(float(at) for at in range(1, num_calls + 2)))
    for num_answered in range(8):
        left = profiles.left("p", num_answered)
        assert left is None or left.steps >= 1
    assert profiles.left("p", 5) is None


def test_outputs_are_expected_as_long_as_they_were() -> None:
    profiles = Profiles()
    for _ in range(200):
        profiles.answered("p", 30.0)
    assert profiles.expected_output("p", None) == 30
    assert profiles.expected_output("p", 10) == 10
    assert profiles.expected_output("q", 10) == 10


def test_memory_is_bounded() -> None:
    profiles = Profiles()
    profiles.ended("first", (1.0, 2.0))
    for number in range(MAX_PROGRAMS):
        profiles.answered(str(number), 1.0)
    assert profiles.left("first", 0) is None

"""Generators repeat by seed, keep held-out problems apart, and solve their own problems."""

import json
from collections.abc import Mapping
from itertools import islice
from random import Random

import pytest

from examples.mini.mixture import SKILLS, WEIGHTS, heldout_problems, training_problems
from examples.mini.problem import JsonValue, Problem, is_heldout
from examples.mini.shop_db import open_shop, shop_script
from weft.runtime.model.checks import check


def reference_answer(problem: Problem) -> str:
    """Return the assistant text that answers the problem's prompt."""
    if problem.skill == "countdown":
        turns = [item for item in problem.messages if item["role"] == "assistant"]
        return "\n".join(str(item["content"]) for item in turns)
    message = problem.messages[problem.num_prompt]
    calls = message.get("tool_calls")
    if not calls:
        return str(message["content"])
    return f"<tool_call>\n{_call_json(calls)}\n</tool_call>"


def _call_json(calls: JsonValue) -> str:
    assert isinstance(calls, list)
    call = calls[0]
    assert isinstance(call, Mapping)
    return json.dumps(call["function"])


@pytest.mark.parametrize("skill", SKILLS)
def test_the_same_seed_draws_the_same_problems(skill: str) -> None:
    one, other, third = Random(1), Random(1), Random(2)
    make = SKILLS[skill]
    drawn = [make(one) for _ in range(5)]
    assert drawn == [make(other) for _ in range(5)]
    assert drawn != [make(third) for _ in range(5)]


@pytest.mark.slow
@pytest.mark.parametrize("skill", SKILLS)
def test_the_reference_answer_passes_its_check(skill: str) -> None:
    rng = Random(3)
    for _ in range(30):
        problem = SKILLS[skill](rng)
        assert check(problem.check, reference_answer(problem))


@pytest.mark.slow
@pytest.mark.parametrize("skill", SKILLS)
def test_heldout_problems_are_distinct_and_held_out(skill: str) -> None:
    problems = heldout_problems(skill, 0, 8)
    assert len({problem.key for problem in problems}) == 8
    assert all(is_heldout(skill, problem.key) for problem in problems)


@pytest.mark.slow
def test_training_never_draws_a_heldout_problem() -> None:
    problems = list(islice(training_problems(Random(0)), 200))
    assert not any(is_heldout(problem.skill, problem.key) for problem in problems)
    assert len({problem.skill for problem in problems}) >= 7


def test_weights_are_a_hundred() -> None:
    assert sum(WEIGHTS.values()) == 100


def test_the_shop_is_always_the_same() -> None:
    assert shop_script() == shop_script()
    connection = open_shop()
    try:
        tables = ("customers", "products", "orders")
        rows = [connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone() for table in tables]
    finally:
        connection.close()
    assert rows == [(20,), (20,), (180,)]

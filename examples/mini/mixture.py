"""The first stage's mixture: which skills, how often, and never a held-out problem."""

from collections.abc import Iterator, Mapping
from random import Random

from examples.mini import (
    arguments,
    countdown,
    extract,
    judge,
    lists,
    outline,
    shop,
    small_talk,
    tool_calls,
)
from examples.mini.problem import Generator, Problem

SKILLS: Mapping[str, Generator] = {
    "countdown": countdown.draw,
    "tools": tool_calls.draw,
    "shop_split": shop.draw_split,
    "shop_sql": shop.draw_sql,
    "shop_answer": shop.draw_answer,
    "extract": extract.draw,
    "judge": judge.draw,
    "lists": lists.draw,
    "outline": outline.draw,
    "arguments": arguments.draw,
}
"""Every skill with a held-out file; `parallel` has the mixture of the last three."""

EXTRAS: Mapping[str, Generator] = {
    "countdown_states": countdown.draw_states,
    "countdown_late": countdown.draw_late,
    "small_talk": small_talk.draw,
}
"""What is trained but has no held-out file of its own."""

WEIGHTS: Mapping[str, int] = {
    "countdown_states": 52,
    "countdown": 8,
    "countdown_late": 5,
    "tools": 3,
    "shop_split": 2,
    "shop_sql": 2,
    "shop_answer": 5,
    "extract": 5,
    "judge": 16,
    "small_talk": 2,
}
"""Documents of each skill in a hundred; what the tokenizer is trained on, too."""


def training_problems(rng: Random) -> Iterator[Problem]:
    """Yield training problems without end, drawn by weight, held-out ones left out."""
    makers: dict[str, Generator] = {**SKILLS, **EXTRAS}
    names, weights = list(WEIGHTS), list(WEIGHTS.values())
    while True:
        problem = makers[rng.choices(names, weights)[0]](rng)
        if not problem.is_heldout:
            yield problem


def heldout_problems(skill: str, seed: int, count: int) -> list[Problem]:
    """Draw distinct held-out problems of one skill; the same for the same seed."""
    rng = Random(f"{seed}/{skill}")
    found: dict[str, Problem] = {}
    while len(found) < count:
        problem = SKILLS[skill](rng)
        if problem.is_heldout:
            found.setdefault(problem.key, problem)
    return list(found.values())

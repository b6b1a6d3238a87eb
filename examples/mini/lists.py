"""Lists of independent sums, one line each: several lanes can share them."""

from random import Random
from typing import NamedTuple

from examples.mini import words
from examples.mini.problem import Problem, dialogue

SYSTEM = "Solve the list."
NUM_ITEMS = range(2, 11)
NUM_OPERATIONS = (2, 3, 4)
MAX_VALUE = 60
"""Largest value on the way: all up to it are one token each."""
SMALL, LARGE = range(1, 10), range(10, 21)
"""What is added or taken away."""
LARGE_SHARE = 0.2
LABEL_SHARE = 0.7
"""Share of items that end in a noun: lengths vary, so that which lane is free first does too."""


class Item(NamedTuple):
    """One line of the list and the line that solves it, both without their end."""

    ask: str
    """`40 + 7 - 8 lamps`."""
    line: str
    """`40 + 7 = 47, 47 - 8 = 39 lamps`."""


def draw_item(rng: Random) -> Item:
    """Draw a chain of operations whose values stay from 0 to MAX_VALUE."""
    value = rng.randint(1, MAX_VALUE)
    ask, steps = str(value), list[str]()
    for _ in range(rng.choices(NUM_OPERATIONS, (7, 8, 5))[0]):
        operand = rng.choice(LARGE if rng.random() < LARGE_SHARE else SMALL)
        signs = [sign for sign in (1, -1) if 0 <= value + sign * operand <= MAX_VALUE]
        sign = rng.choice(signs)
        shown, result = "-+"[sign > 0], value + sign * operand
        ask += f" {shown} {operand}"
        steps.append(f"{value} {shown} {operand} = {result}")
        value = result
    label = f" {rng.choice(words.PLURALS)}" if rng.random() < LABEL_SHARE else ""
    return Item(ask + label, ", ".join(steps) + label)


def draw_items(rng: Random) -> list[Item]:
    """Draw the items of one list."""
    return [draw_item(rng) for _ in range(rng.choice(NUM_ITEMS))]


def draw_even_items(rng: Random) -> list[Item]:
    """Draw items of as many words: lanes that share them often come free at the same step."""
    items = [draw_item(rng)]
    num_items, num_words = rng.choice(NUM_ITEMS), len(items[0].ask.split())
    while len(items) < num_items:
        item = draw_item(rng)
        if len(item.ask.split()) == num_words:
            items.append(item)
    return items


def solved(items: list[Item]) -> list[str]:
    """Return the line of every item, number and end included."""
    return [f"{number}: {item.line}\n" for number, item in enumerate(items, 1)]


def problem(items: list[Item]) -> Problem:
    """Make the problem of one list; its answer is written by one stream, in order."""
    prompt = "\n".join(f"{number}: {item.ask}" for number, item in enumerate(items, 1))
    lines = solved(items)
    return Problem(
        skill="lists",
        key=prompt,
        messages=dialogue(SYSTEM, prompt, "".join(lines)),
        num_prompt=2,
        check={"kind": "lines", "lines": [line.strip() for line in lines]},
    )


def draw(rng: Random) -> Problem:
    """Draw a list."""
    return problem(draw_items(rng))

"""Judgement: say yes or no to a candidate answer."""

import json
from collections.abc import Callable
from random import Random

from examples.mini import countdown, extract, shop
from examples.mini.problem import JsonValue, Problem, dialogue, is_heldout
from examples.mini.shop_asks import Ask, draw_ask

SYSTEM = "Judge: yes or no."
REACH_QUESTION = "Can this reach the target?"

Candidate = tuple[str, bool]
"""The user turn, and whether the candidate on its last line is right."""


def draw(rng: Random) -> Problem:
    """Draw a candidate, right as often as wrong."""
    makers, weights = zip(*KINDS, strict=True)
    make: Callable[[Random], Candidate] = rng.choices(makers, weights)[0]
    prompt, is_right = make(rng)
    answer = "yes" if is_right else "no"
    return Problem(
        skill="judge",
        key=prompt,
        messages=dialogue(SYSTEM, prompt, answer),
        num_prompt=2,
        check={"kind": "exact", "answer": answer},
    )


def arithmetic(rng: Random) -> Candidate:
    """A sum or a difference."""
    left, right = rng.randrange(100), rng.randrange(100)
    sign = rng.choice("+-")
    value = left + right if sign == "+" else left - right
    is_right = rng.random() < 0.5
    if not is_right:
        value += rng.choice((-10, -2, -1, 1, 2, 10))
    return f"What is {left} {sign} {right}?\n{value}", is_right


def sql(rng: Random) -> Candidate:
    """SQL for a shop question; wrong SQL comes from a neighbouring question."""
    ask = _training_ask(rng)
    is_right = rng.random() < 0.5
    candidate = ask.sql if is_right else corrupt_sql(rng, ask)
    return f"{ask.question}\n{candidate}", is_right


def _training_ask(rng: Random) -> Ask:
    """Draw a question whose SQL is not held out, so that judging never shows held-out SQL."""
    while True:
        ask = draw_ask(rng)
        if not is_heldout("shop_sql", ask.key):
            return ask


SWAPS = (
    (" DESC", " ASC"),
    (" ASC", " DESC"),
    (" > ", " < "),
    (" < ", " > "),
    (" = ", " <> "),
    ("COUNT(*)", "SUM(quantity)"),
    ("SUM(", "MAX("),
    ("MAX(", "MIN("),
    ("MIN(", "MAX("),
    ("AVG(", "SUM("),
    ("'shipped'", "'pending'"),
    ("'pending'", "'returned'"),
    ("'gold'", "'silver'"),
    ("'silver'", "'basic'"),
    ("'Oslo'", "'Rome'"),
    ("'Rome'", "'Lima'"),
    ("'garden'", "'office'"),
    ("'office'", "'toys'"),
    (" IN (", " NOT IN ("),
    ("price", "stock"),
    ("month", "status"),
)
"""Replacements that change what SQL means."""


def corrupt_sql(rng: Random, ask: Ask) -> str:
    """Change the meaning of a question's SQL: swap a word, drop a condition, or take another's."""
    usable = [(old, new) for old, new in SWAPS if old in ask.sql]
    if " AND " in ask.sql and rng.random() < 0.3:
        head, _, tail = ask.sql.partition(" AND ")
        return " ".join([head, *tail.split(" ", 3)[3:]]).strip()
    if not usable or rng.random() < 0.1:
        other = ask
        while other.sql == ask.sql:
            other = _training_ask(rng)
        return other.sql
    old, new = rng.choice(usable)
    return ask.sql.replace(old, new, 1)


def extraction(rng: Random) -> Candidate:
    """A record for a sentence; a wrong one has a value from another sentence."""
    prompt, record = extract.draw_record(rng)
    is_right = rng.random() < 0.5
    if not is_right:
        record = corrupt_record(rng, record)
    return f"{prompt}\n{json.dumps(record)}", is_right


def corrupt_record(rng: Random, record: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Exchange two values, or replace one by another of its kind."""
    fields = list(record)
    if rng.random() < 0.3:
        one, other = rng.sample(fields, 2)
        return {**record, one: record[other], other: record[one]}
    while True:
        _, another = extract.draw_record(rng)
        shared = [field for field in fields if another.get(field, record[field]) != record[field]]
        if shared:
            field = rng.choice(shared)
            return {**record, field: another[field]}


def answer(rng: Random) -> Candidate:
    """A sentence for a question with its result; a wrong one answers another result."""
    ask, rows = shop.draw_result(rng)
    is_right = rng.random() < 0.5 or not rows
    told = rows
    while not is_right and told == rows:
        told = shop.alter(rng, rows)
        if rows[0][0] is None:
            is_right = True
    return f"{ask.question} {json.dumps(rows)}\n{shop.sentence([(ask, told)])}", is_right


def reach(rng: Random) -> Candidate:
    """A Countdown state of two to four numbers: whether its target can still be reached."""
    state = countdown.draw_numbers(rng)
    targets = [target for target in countdown.reachable(state) if target in countdown.TARGETS]
    target = rng.choice(targets) if targets else rng.choice(countdown.TARGETS)
    for _ in range(rng.choice((0, 1, 1, 2))):
        options = [after for _, after in countdown.operations(state)]
        alive = [after for after in options if target in countdown.reachable(after)]
        state = rng.choice(alive) if alive and rng.random() < 0.5 else rng.choice(options)
    is_right = target in countdown.reachable(state)
    return f"{countdown.show(target, state)}\n{REACH_QUESTION}", is_right


KINDS: tuple[tuple[Callable[[Random], Candidate], int], ...] = (
    (arithmetic, 2),
    (sql, 3),
    (extraction, 2),
    (answer, 2),
    (reach, 4),
)
"""Every kind of candidate with its weight."""

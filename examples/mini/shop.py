"""Shop problems: split a question, write its SQL, answer from results."""

import json
import sqlite3
from functools import cache
from random import Random

from examples.mini import shop_db, words
from examples.mini.problem import Problem, dialogue
from examples.mini.shop_asks import Ask, Rows, draw_ask

SPLIT_SYSTEM = "Split the question."
SQL_SYSTEM = "Write SQL for the shop."
ANSWER_SYSTEM = "Answer from the results."
MAX_ROWS_ANSWERED = 6
EMPTY_RESULT_SHARE = 0.1
"""Share of questions kept although their result is empty, which any wrong SQL may match."""


@cache
def _shop() -> sqlite3.Connection:
    return shop_db.open_shop()


def rows_of(sql: str) -> Rows:
    """Run SQL on the shop."""
    rows: list[tuple[str | int | float | None, ...]] = _shop().execute(sql).fetchall()
    return [list(row) for row in rows]


def draw_sql(rng: Random) -> Problem:
    """Draw a question to translate; an empty result is rare."""
    ask = draw_ask(rng)
    rows = rows_of(ask.sql)
    while _is_empty(rows) and rng.random() > EMPTY_RESULT_SHARE:
        ask = draw_ask(rng)
        rows = rows_of(ask.sql)
    return Problem(
        skill="shop_sql",
        key=ask.key,
        messages=dialogue(SQL_SYSTEM, ask.question, ask.sql),
        num_prompt=2,
        check={
            "kind": "sql",
            "sql": ask.sql,
            "rows": [list(row) for row in rows],
            "ordered": "ORDER BY" in ask.sql,
        },
    )


def _is_empty(rows: Rows) -> bool:
    return not rows or rows[0][0] in (None, 0)


def draw_split(rng: Random) -> Problem:
    """Draw a compound question and the simple ones it holds."""
    questions = [draw_ask(rng).question for _ in range(rng.choices((1, 2, 3), (2, 5, 3))[0])]
    return Problem(
        skill="shop_split",
        key="|".join(questions),
        messages=dialogue(SPLIT_SYSTEM, compound(rng, questions), json.dumps(questions)),
        num_prompt=2,
        check={"kind": "json", "value": questions},
    )


def compound(rng: Random, questions: list[str]) -> str:
    """Join simple questions into one, in one of several ways."""
    text = questions[0]
    for question in questions[1:]:
        lower = question[0].lower() + question[1:]
        form = rng.choice((", and {}", " and {}", "; {}", "? Also, {}", ", then {}"))
        if form.startswith("?"):
            text = f"{text} Also, {lower}"
        else:
            text = text[:-1] + form.format(lower)
    return text


def draw_answer(rng: Random) -> Problem:
    """Draw questions with their results and the sentence that answers them."""
    pairs = [draw_result(rng) for _ in range(rng.choices((1, 2, 3), (4, 4, 2))[0])]
    prompt = "\n".join(f"{ask.question} {json.dumps(rows)}" for ask, rows in pairs)
    return Problem(
        skill="shop_answer",
        key=prompt,
        messages=dialogue(ANSWER_SYSTEM, prompt, sentence(pairs)),
        num_prompt=2,
        check={"kind": "exact", "answer": sentence(pairs)},
    )


def draw_result(rng: Random) -> tuple[Ask, Rows]:
    """Draw a question with a short result; half of the results are altered, so must be read."""
    while True:
        ask = draw_ask(rng)
        rows = rows_of(ask.sql)
        if len(rows) <= MAX_ROWS_ANSWERED:
            return ask, alter(rng, rows) if rng.random() < 0.5 else rows


def alter(rng: Random, rows: Rows) -> Rows:
    """Replace the values of a result by others of the same types."""
    return [[_other(rng, cell) for cell in row] for row in rows]


def _other(rng: Random, cell: str | int | float | None) -> str | int | float | None:
    if isinstance(cell, str):
        return words.person(rng) if cell[0].isupper() else words.item(rng)
    if isinstance(cell, float):
        return round(rng.uniform(1, 100), 1)
    return None if cell is None else rng.randrange(10 ** rng.randint(1, 4))


def sentence(pairs: list[tuple[Ask, Rows]]) -> str:
    """Write one sentence that answers every question from its result."""
    parts = [ask.answer(rows) for ask, rows in pairs]
    text = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])}, and {parts[-1]}"
    return text[0].upper() + text[1:] + "."

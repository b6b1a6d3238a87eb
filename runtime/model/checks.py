"""Checks of a model's answer to a held-out problem: pure functions, no tensors, no `eval`.

A check is a JSON object with a `kind`:

- `exact`: `answer`, the text;
- `json`: `value`, what the text must parse to;
- `tool_call`: `name` and `arguments` of the one call in the text;
- `lines`: `lines`, all of them in any order and nothing else; a line may stand there twice;
- `conclusion`: `answer`, the last line of the text between the last `<Conclusion>` and its end;
- `sql`: `rows`, the expected result, and `ordered`, whether their order counts; needs the shop;
- `countdown`: `numbers` and `target`; the text holds one operation per line.
"""

import json
import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import resources

JsonValue = None | bool | int | float | str | Sequence["JsonValue"] | Mapping[str, "JsonValue"]
Check = Mapping[str, JsonValue]

OPERATION = re.compile(r"(\d{1,6})([-+*/])(\d{1,6})")
TOOL_CALL = re.compile(r"<tool_call>\s*(.*?)\s*</tool_call>", re.DOTALL)
CONCLUSION = re.compile(r"<Conclusion>(.*?)</Conclusion>", re.DOTALL)
MAX_SQL_STEPS = 200_000
"""Virtual-machine instructions a candidate query may take; a right one takes far fewer."""
PROGRESS_EVERY = 10_000
MAX_SQL_ROWS = 1000


def check(rule: Check, text: str) -> bool:
    """Say whether `text` solves the problem; a malformed text is wrong.

    Raises ValueError when the kind of the check is unknown.
    """
    kind = rule.get("kind")
    checker = CHECKERS.get(kind) if isinstance(kind, str) else None
    if checker is None:
        raise ValueError(f"unknown kind of check {kind!r}; known: {', '.join(sorted(CHECKERS))}")
    return checker(rule, text)


def check_exact(rule: Check, text: str) -> bool:
    """Compare texts; surrounding space does not count."""
    return text.strip() == rule["answer"]


def check_json(rule: Check, text: str) -> bool:
    """Compare a JSON text with a value; the order of keys does not count, types do."""
    try:
        value = json.loads(text)
    except ValueError:
        return False
    return _canonical(value) == _canonical(rule["value"])


def check_tool_call(rule: Check, text: str) -> bool:
    """Compare the only tool call in a text; spaces inside string arguments do not count."""
    bodies = TOOL_CALL.findall(text)
    if len(bodies) != 1:
        return False
    try:
        call = json.loads(bodies[0])
    except ValueError:
        return False
    wanted = {"name": rule["name"], "arguments": rule["arguments"]}
    return _canonical(call).replace(" ", "") == _canonical(wanted).replace(" ", "")


def check_lines(rule: Check, text: str) -> bool:
    """Compare the lines of a text with those wanted; several streams may have written it."""
    wanted = rule["lines"]
    return isinstance(wanted, Sequence) and set(text.strip().splitlines()) == set(wanted)


def check_conclusion(rule: Check, text: str) -> bool:
    """Compare the last line of the conclusion."""
    found = CONCLUSION.findall(text)
    return bool(found) and found[-1].strip().split("\n")[-1] == rule["answer"]


def check_sql(rule: Check, text: str) -> bool:
    """Run one query on the shop and compare its rows with the expected ones."""
    rows = run_sql(text)
    wanted = rule["rows"]
    if rows is None or not isinstance(wanted, Sequence):
        return False
    got = [_canonical(row) for row in rows]
    expected = [_canonical(row) for row in wanted]
    return got == expected if rule.get("ordered") else sorted(got) == sorted(expected)


def check_countdown(rule: Check, text: str) -> bool:
    """Follow one operation per line from the numbers; the last number must be the target."""
    numbers = rule["numbers"]
    if not isinstance(numbers, Sequence):
        return False
    state: tuple[int, ...] | None = tuple(int(str(number)) for number in numbers)
    for line in text.split():
        state = countdown_step(state, line) if state is not None else None
    return state is not None and len(state) == 1 and state[0] == rule["target"]


def countdown_step(state: Sequence[int], operation: str) -> tuple[int, ...] | None:
    """Apply an operation such as `12-5`; return the remaining numbers, ascending.

    None when the text is no operation, uses an absent number, or gives no positive whole number.
    """
    match = OPERATION.fullmatch(operation.strip())
    if match is None:
        return None
    left, sign, right = int(match[1]), match[2], int(match[3])
    remaining = list(state)
    for operand in (left, right):
        if operand not in remaining:
            return None
        remaining.remove(operand)
    value = _arithmetic(left, sign, right)
    return None if value is None else tuple(sorted((*remaining, value)))


def _arithmetic(left: int, sign: str, right: int) -> int | None:
    """Compute a positive whole value, else None."""
    if sign == "+":
        return left + right
    if sign == "*":
        return left * right or None
    if sign == "-":
        return left - right if left > right else None
    return left // right if right and left % right == 0 and left else None


def run_sql(text: str) -> list[list[str | int | float | None]] | None:
    """Run one reading query on the bundled shop; None when it fails or takes too long."""
    connection = sqlite3.connect(":memory:")
    try:
        connection.deserialize(_shop())
        connection.set_authorizer(_only_read)
        connection.set_progress_handler(_Allowance(), PROGRESS_EVERY)
        rows = connection.execute(text.strip().rstrip(";")).fetchmany(MAX_SQL_ROWS)
    except (sqlite3.Error, sqlite3.Warning):
        return None
    finally:
        connection.close()
    return [list(row) for row in rows]


class _Allowance:
    """Stops a query after MAX_SQL_STEPS instructions."""

    def __init__(self) -> None:
        self._left = MAX_SQL_STEPS // PROGRESS_EVERY

    def __call__(self) -> int:
        self._left -= 1
        return self._left < 0


@cache
def _shop() -> bytes:
    """Build the shop once; every query gets its own copy."""
    script = resources.files("weft.runtime").joinpath("assets/mini/shop.sql").read_text("utf-8")
    connection = sqlite3.connect(":memory:")
    try:
        connection.executescript(script)
        return connection.serialize()
    finally:
        connection.close()


def _only_read(action: int, *_: str | None) -> int:
    allowed = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION)
    return sqlite3.SQLITE_OK if action in allowed else sqlite3.SQLITE_DENY


def _canonical(value: JsonValue) -> str:
    """Write a JSON value so that equal values give equal texts; whole floats equal integers."""
    return json.dumps(_rounded(value), sort_keys=True)


def _rounded(value: JsonValue) -> JsonValue:
    if isinstance(value, float):
        return int(value) if value.is_integer() else round(value, 6)
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_rounded(item) for item in value]
    return value


CHECKERS: Mapping[str, Callable[[Check, str], bool]] = {
    "exact": check_exact,
    "json": check_json,
    "tool_call": check_tool_call,
    "lines": check_lines,
    "conclusion": check_conclusion,
    "sql": check_sql,
    "countdown": check_countdown,
}
"""Every kind of check."""

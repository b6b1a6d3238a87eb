"""Checks accept right answers and refuse wrong, malformed and hostile ones."""

import json
from importlib import resources

import pytest

from weft.runtime.model.checks import Check, check, countdown_step, run_sql

SKILLS = (
    "arguments",
    "countdown",
    "extract",
    "judge",
    "lists",
    "outline",
    "shop_answer",
    "shop_split",
    "shop_sql",
    "tools",
)


def test_exact() -> None:
    rule: Check = {"kind": "exact", "answer": "yes"}
    assert check(rule, " yes\n")
    assert not check(rule, "yes, it is")


def test_json_ignores_key_order_but_not_types() -> None:
    rule: Check = {"kind": "json", "value": {"name": "Ann", "age": 3}}
    assert check(rule, '{"age": 3, "name": "Ann"}')
    assert not check(rule, '{"age": "3", "name": "Ann"}')
    assert not check(rule, '{"age": true, "name": "Ann"}')
    assert not check(rule, '{"age": 3')


def test_json_keeps_the_order_of_lists() -> None:
    rule: Check = {"kind": "json", "value": ["a", "b"]}
    assert check(rule, '["a", "b"]')
    assert not check(rule, '["b", "a"]')


def test_tool_call() -> None:
    rule: Check = {"kind": "tool_call", "name": "calculator", "arguments": {"expression": "1 + 2"}}
    call = '<tool_call>\n{"name": "calculator", "arguments": {"expression": "%s"}}\n</tool_call>'
    assert check(rule, call % "1 + 2")
    assert check(rule, call % "1+2")
    assert not check(rule, call % "2 + 1")
    assert not check(rule, call % "1 + 2" + call % "1 + 2")
    assert not check(rule, "3")
    assert not check(rule, "<tool_call>\n{\n</tool_call>")


def test_lines_may_come_in_any_order_and_twice() -> None:
    rule: Check = {"kind": "lines", "lines": ["1: 2 + 3 = 5", "2: 4 - 1 = 3"]}
    assert check(rule, "2: 4 - 1 = 3\n1: 2 + 3 = 5\n")
    assert check(rule, "1: 2 + 3 = 5\n2: 4 - 1 = 3\n1: 2 + 3 = 5")
    assert not check(rule, "1: 2 + 3 = 5")
    assert not check(rule, "1: 2 + 3 = 5\n2: 4 - 1 = 3\n3: 1 + 1 = 2")
    assert not check(rule, "1: 2 + 3 = 6\n1: 2 + 3 = 5\n2: 4 - 1 = 3")


def test_a_conclusion_is_its_last_line() -> None:
    rule: Check = {"kind": "conclusion", "answer": "total: 9"}
    assert check(rule, "<Path> 1: 4</Path><Conclusion> 4 + 5 = 9\ntotal: 9</Conclusion>")
    assert not check(rule, "<Conclusion> total: 9\nor total: 8</Conclusion>")
    assert not check(rule, "<Conclusion>\ntotal: 9")
    assert not check(rule, "<Conclusion></Conclusion>")


def test_sql_compares_rows() -> None:
    rows = run_sql("SELECT product FROM products ORDER BY price")
    assert rows is not None
    rule: Check = {"kind": "sql", "rows": rows, "ordered": True}
    assert check(rule, "SELECT product FROM products ORDER BY price ASC;")
    assert not check(rule, "SELECT product FROM products ORDER BY price DESC")
    assert check({**rule, "ordered": False}, "SELECT product FROM products ORDER BY price DESC")
    assert not check(rule, "SELECT nothing FROM products")


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM orders",
        "DROP TABLE orders",
        "PRAGMA writable_schema = 1",
        "ATTACH 'other.db' AS other",
        "SELECT 1; SELECT 2",
        "SELECT COUNT(*) FROM orders a, orders b, orders c, orders d",
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x FROM n) SELECT x FROM n",
    ],
)
def test_sql_only_reads_and_only_briefly(statement: str) -> None:
    assert run_sql(statement) is None
    assert run_sql("SELECT COUNT(*) FROM orders") == [[180]]


def test_countdown_follows_the_operations() -> None:
    rule: Check = {"kind": "countdown", "numbers": [3, 5, 8, 12], "target": 24}
    assert check(rule, "12-5\n8-7\n24*1") is False
    assert check(rule, "12-8\n5+3\n8*4") is False
    assert check({**rule, "target": 32}, "12-8\n5+3\n8*4")
    assert not check({**rule, "target": 32}, "12-8\n5+3")
    assert not check({**rule, "target": 32}, "12-8\n5+3\n8*4\n32+0")


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("8+3", (5, 11)),
        ("8-3", (5, 5)),
        ("3-8", None),
        ("8/3", None),
        ("5*5", None),
        ("4+3", None),
        ("8**3", None),
        ("__import__('os')", None),
        ("", None),
    ],
)
def test_countdown_step(operation: str, expected: tuple[int, ...] | None) -> None:
    assert countdown_step((3, 5, 8), operation) == expected


def test_countdown_step_refuses_zero() -> None:
    assert countdown_step((4, 4), "4-4") is None
    assert countdown_step((0, 4), "4/0") is None


def test_unknown_kind_is_named() -> None:
    with pytest.raises(ValueError, match="'magic'"):
        check({"kind": "magic"}, "x")


@pytest.mark.parametrize("skill", SKILLS)
def test_every_heldout_row_is_whole(skill: str) -> None:
    folder = resources.files("weft.runtime").joinpath("assets/mini/heldout")
    rows = [json.loads(line) for line in folder.joinpath(f"{skill}.jsonl").read_text().splitlines()]
    assert len(rows) >= 200
    assert len({row["id"] for row in rows}) == len(rows)
    for row in rows:
        assert set(row) == {"id", "skill", "messages", "tools", "check"}
        assert row["messages"][-1]["role"] in ("user", "tool")
        assert not check(row["check"], "\ufffd")

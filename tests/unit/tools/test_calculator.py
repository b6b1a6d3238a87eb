"""The calculator: exact, strict, bounded."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest

from weft.errors import ToolFailed
from weft.tools.calculator import calculate, calculator_tool, evaluate


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("0.1 + 0.2", "0.3"),
        ("1 / 3", "1/3"),
        ("-7 / 2", "-3.5"),
        ("-1 / 32", "-0.03125"),
        ("-7 // 2", "-4"),
        ("-7 % 3", "2"),
        ("-2 ** 2", "-4"),
        ("2 ** -2", "0.25"),
        ("2 ** 3 ** 2", "512"),
        ("--3", "3"),
        ("3 * 19.99", "59.97"),
        (" \t.5 + 5.\n", "5.5"),
        ("10 - 4 - 3", "3"),
        ("100 / 10 / 5", "2"),
        ("0 ** 0", "1"),
        ("2 ** 1000", str(2**1000)),
    ],
)
def test_results_are_exact(expression: str, result: str) -> None:
    assert calculate(expression) == result


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "()",
        "1 +",
        "* 1",
        "1 2",
        "(1",
        "1)",
        "1 / 0",
        "1 // 0",
        "1 % (2 - 2)",
        "0 ** -1",
        "2 ** 0.5",
        "2 ** 1001",
        "9 ** 9 ** 9",
        "(2 ** 1000) ** 1000",
        "2 ** 1000 * 2 ** 1000 * 2 ** 1000 * 2 ** 1000 * 2 ** 1000",
        "1e5",
        "0x10",
        "1_000",
        "1,000",
        "2j",
        "x",
        "__import__('os')",
        "[1]",
        "1 if 1 else 2",
        "1 == 1",
        "٣ + ٣",
        "1\u00a0+\u00a01",
        "\ud800",
        "\0",
        "(" * 51 + "1" + ")" * 51,
        "2 ** " * 60 + "1",
        "-" * 1001,
        "(" * 100_000,
        "1" * 1001,
        "0." + "1" * 998 + "9" * 999,
        "9" * 1000 + "*" + "9" * 900,
    ],
)
def test_anything_else_is_a_typed_error(expression: str) -> None:
    with pytest.raises(ToolFailed) as caught:
        evaluate(expression)
    assert caught.value.tool == "calculator" and caught.value.remedy


@pytest.mark.parametrize("unit", ["2 ** ", "(", "-", "9*", "1/7+", "9 ** 9 + ", "2**999*"])
def test_the_worst_expressions_end_soon(unit: str) -> None:
    expression = (unit * 1000)[: 999 - len(unit)] + "1"
    began = time.process_time()
    try:
        evaluate(expression)
    except ToolFailed:
        pass
    assert time.process_time() - began < 0.2


def test_long_chains_do_not_recurse() -> None:
    assert evaluate("+".join(["1"] * 500)) == 500
    assert evaluate("-" * 998 + "1") == Fraction(1)


async def test_it_is_a_tool() -> None:
    tool = calculator_tool()
    assert await tool.invoke({"expression": "6 * 7"}) == "42"
    assert tool.name == "calculator" and tool.effect == "pure"
    with pytest.raises(ToolFailed, match="has no value"):
        await tool.invoke({"expression": "1 / 0"})

"""What holds for every tool call, every model text and every expression."""

from __future__ import annotations

import ast
import asyncio
import json
import operator
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from weft.errors import ToolArgumentsInvalid, ToolFailed
from weft.tools import ParsedCall, as_tool, parse_tool_calls
from weft.tools.calculator import calculate, evaluate

characters = st.characters(codec="utf-8")
json_leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(characters, max_size=8)
    | st.sampled_from(["</tool_call>", '"</tool_call>', "<tool_call>", "\\", '\\"'])
)


def containers(children: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    keys = st.text(characters, max_size=4)
    return st.lists(children, max_size=4) | st.dictionaries(keys, children, max_size=4)


json_values: st.SearchStrategy[object] = st.recursive(json_leaves, containers, max_leaves=12)
arguments = st.dictionaries(st.text(characters, max_size=4), json_values, max_size=4)
calls = st.builds(ParsedCall, st.text(characters, min_size=1, max_size=8), arguments)
plain_texts = st.text(characters, max_size=8).filter(lambda text: "<" not in text)
hostile_texts = st.lists(
    st.sampled_from(
        ["<tool_call>", "</tool_call>", '"', "\\", "{", "}", "[", "]", ":", ",", "1", " ", "\ud800"]
        + ['{"name": "a", "arguments": {}}', '"name"', '"arguments"', "<", "tool_call>"]
    )
    | st.text(max_size=3),
    max_size=40,
).map("".join)


@pytest.mark.slow
@given(st.lists(calls | plain_texts, max_size=6), st.booleans())
def test_calls_written_into_text_are_read_back(parts: list[ParsedCall | str], ascii: bool) -> None:
    def write(part: ParsedCall | str) -> str:
        if isinstance(part, str):
            return part
        return f"<tool_call>\n{json.dumps(part._asdict(), ensure_ascii=ascii)}\n</tool_call>"

    parsed = parse_tool_calls("".join(map(write, parts)))
    assert parsed.text == "".join(part for part in parts if isinstance(part, str))
    assert parsed.calls == tuple(part for part in parts if isinstance(part, ParsedCall))


@pytest.mark.slow
@given(hostile_texts)
def test_any_text_gives_calls_or_typed_errors(text: str) -> None:
    parsed = parse_tool_calls(text)
    assert len(parsed.calls) <= text.count("<tool_call>")
    for call in parsed.calls:
        assert isinstance(call, (ParsedCall, ToolArgumentsInvalid))
    if "<tool_call>" not in text:
        assert parsed == (text, ())


def echo(value: JsonValue) -> JsonValue:
    """Echo."""
    return value


ECHO = as_tool(echo, timeout_s=None)


@pytest.mark.slow
@settings(deadline=None)
@given(json_values)
def test_json_passes_through_a_tool_unchanged(value: object) -> None:
    result = asyncio.run(ECHO.invoke({"value": value}))
    assert json.dumps(result) == json.dumps(value)
    assert json.dumps(ECHO.load(ECHO.dump(result))) == json.dumps(value)


OPERATIONS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: lambda left, right: left / right,
    ast.FloorDiv: lambda left, right: Fraction(left // right),
    ast.Mod: operator.mod,
}
numbers: st.SearchStrategy[ast.expr] = st.builds(
    ast.Constant, st.integers(0, 9_999) | st.sampled_from([0.5, 2.25, 0.125])
)


def larger(children: st.SearchStrategy[ast.expr]) -> st.SearchStrategy[ast.expr]:
    binary = st.builds(
        ast.BinOp, children, st.sampled_from([kind() for kind in OPERATIONS]), children
    )
    negative = st.builds(ast.UnaryOp, st.just(ast.USub()), children)
    power = st.builds(
        ast.BinOp, children, st.just(ast.Pow()), st.builds(ast.Constant, st.integers(0, 3))
    )
    return binary | negative | power


trees = st.recursive(numbers, larger, max_leaves=12)


def reference(tree: ast.expr) -> Fraction:
    """The value of a tree, without any text in between."""
    match tree:
        case ast.Constant(value=int() | float() as value):
            return Fraction(value)
        case ast.UnaryOp(operand=operand):
            return -reference(operand)
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return reference(left) ** int(reference(right))
        case ast.BinOp(left=left, op=op, right=right):
            return OPERATIONS[type(op)](reference(left), reference(right))
        case _:
            raise AssertionError(tree)


@pytest.mark.slow
@given(trees)
def test_the_calculator_equals_fractions_under_pythons_precedence(tree: ast.expr) -> None:
    expression = ast.unparse(tree)
    try:
        expected = reference(tree)
    except ZeroDivisionError:
        expected = None
    try:
        value = evaluate(expression)
    except ToolFailed as error:
        assert expected is None or "too large" in str(error) or "characters" in str(error)
        return
    assert value == expected
    assert Fraction(calculate(expression)) == expected


@given(st.text("0123456789.+-*/% ()e_x\ud800", max_size=30))
def test_any_expression_gives_a_value_or_a_typed_error(expression: str) -> None:
    try:
        evaluate(expression)
    except ToolFailed as error:
        assert error.tool == "calculator"

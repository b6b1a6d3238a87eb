"""Tool calls in model text, well-formed and hostile."""

from __future__ import annotations

import json
import time

import pytest

from weft.errors import ToolArgumentsInvalid
from weft.tools import ParsedCall, parse_tool_calls


def block(name: object, arguments: object) -> str:
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


def test_text_and_calls_are_separated_in_order() -> None:
    reply = f"Let me see.\n{block('a', {'x': 1})}\n{block('b', {})} Done."
    parsed = parse_tool_calls(reply)
    assert parsed.text == "Let me see.\n\n Done."
    assert parsed.calls == (ParsedCall("a", {"x": 1}), ParsedCall("b", {}))


def test_plain_text_is_untouched() -> None:
    assert parse_tool_calls("no </tool_call> here") == ("no </tool_call> here", ())


def test_tags_inside_a_json_string_are_data() -> None:
    value = 'say "</tool_call>" and <tool_call>{} \\'
    assert parse_tool_calls(block("a", {"x": value})).calls == (ParsedCall("a", {"x": value}),)


def test_a_broken_block_does_not_swallow_the_next() -> None:
    broken = '<tool_call>{"name": "x, "arguments": {}}</tool_call>'
    first, second = parse_tool_calls(broken + block("b", {"y": 2})).calls
    assert isinstance(first, ToolArgumentsInvalid)
    assert second == ParsedCall("b", {"y": 2})


@pytest.mark.parametrize(
    ("body", "match"),
    [
        ("", "no JSON"),
        ("[]", "list, not an object"),
        ('{"arguments": {}}', "name None"),
        ('{"name": 1, "arguments": {}}', "name 1"),
        ('{"name": "a"}', "arguments None"),
        ('{"name": "a", "arguments": "{}"}', "arguments '{}'"),
        ('{"name": "a", "arguments": {}, "id": 1}', "extra keys"),
        ('{"name": "a", "arguments": {"x": NaN}}', "no JSON"),
        ('{"name": "a", "arguments": {"x": 1e999}}', "too large"),
        ('{"name": "a", "arguments": {"x": "\\ud800"}}', "no JSON"),
        ("\ud800", "no JSON"),
        ('{"name": "a", "arguments": ' + "[" * 100_000, "no JSON"),
        ('{"name": "a", "arguments": {"x": ' + "[" * 65 + "]" * 65 + "}}", "levels deep"),
        ('{"name": "a", "arguments": {"x": "' + "y" * 1_100_000 + '"}}', "over the cap"),
        ('{"name": "a", "arguments": {"x": ' + "9" * 100_000 + "}}", "no JSON"),
    ],
    ids=range(15),
)
def test_a_malformed_block_is_a_typed_failure(body: str, match: str) -> None:
    parsed = parse_tool_calls(f"before<tool_call>{body}</tool_call>after")
    assert parsed.text == "beforeafter"
    (failure,) = parsed.calls
    assert isinstance(failure, ToolArgumentsInvalid)
    assert match in str(failure)
    assert len(str(failure)) < 1000


def test_an_unterminated_block_is_one_failure() -> None:
    text, (failure,) = parse_tool_calls('a<tool_call>{"name": "x"<tool_call><tool_call>')
    assert text == "a"
    assert isinstance(failure, ToolArgumentsInvalid) and "no </tool_call>" in str(failure)


def test_a_flood_of_calls_is_capped() -> None:
    parsed = parse_tool_calls(block("a", {}) * 1000)
    assert len(parsed.calls) == 129
    assert "more than 128" in str(parsed.calls[-1])


HOSTILE = [
    "<tool_call>",
    "</tool_call>",
    '<tool_call>"</tool_call>',
    '<tool_call>["',
    '<tool_call>"\\',
    "<tool_call>[</tool_call>",
    '<tool_call>{"a":"</tool_call>',
    '"</tool_call><tool_call>["',
    '\\"',
    "[",
    '{"a":',
]


@pytest.mark.slow
@pytest.mark.parametrize("unit", HOSTILE)
@pytest.mark.parametrize("prefix", ["", "<tool_call>", '<tool_call>{"a":"'])
def test_time_is_linear_in_the_length(unit: str, prefix: str) -> None:
    def cost(size: int) -> float:
        reply = prefix + unit * (size // len(unit))
        began = time.process_time()
        parse_tool_calls(reply)
        return time.process_time() - began

    # Sixteen times the text in a time that quadratic work would exceed by far.
    assert cost(1_600_000) < 50 * cost(100_000) + 0.1

"""The grammar of a turn, with xgrammar's own matcher as the oracle, and how turns are read."""

from __future__ import annotations

import json
from typing import Any, Literal, cast

import pytest
from pydantic import BaseModel

from weft.agents.turn import answer_output, turn_output
from weft.errors import OutputInvalid
from weft.programs import Ebnf, JsonSchema, Message, Regex, ToolCall
from weft.programs.output import Output, output_of
from weft.tools import ParsedCall, as_tool


class Verdict(BaseModel):
    ok: bool


def get_price(item: str, count: int = 1) -> int:
    """Get a price."""
    return count * len(item)


def get_time() -> str:
    """Get the time."""
    return "now"


SCHEMAS = [as_tool(get_price).json_schema(), as_tool(get_time).json_schema()]
PRICE = '<tool_call>\n{"name": "get_price", "arguments": {"item": "mug", "count": 2}}\n</tool_call>'
TIME = '<tool_call>\n{"name": "get_time", "arguments": {}}\n</tool_call>'
UNKNOWN = '<tool_call>\n{"name": "other", "arguments": {}}\n</tool_call>'
MISFIT = '<tool_call>\n{"name": "get_price", "arguments": {"item": 3}}\n</tool_call>'
OUTS: list[tuple[object, str, str]] = [
    (Verdict, '{"ok": true}', '{"ok": 3}'),
    (Literal["yes", "no"], "yes", "maybe"),
    (["yes", "no"], "no", "maybe"),
    (Regex("[a-z]+[0-9]"), "abc1", "abc"),
    (Ebnf('root ::= "a" | "b"'), "b", "c"),
    (JsonSchema({"type": "integer"}), "12", '"x"'),
]


def accepts(output: Output[Any], text: str) -> bool:
    xgrammar = pytest.importorskip("xgrammar")
    testing = pytest.importorskip("xgrammar.testing")
    assert output.grammar is not None and output.grammar.kind == "structural_tag"
    grammar = xgrammar.Grammar.from_structural_tag(output.grammar.text)
    return cast("bool", testing._is_grammar_accept_string(grammar, text))


@pytest.mark.parametrize(("out", "good", "bad"), OUTS, ids=range(len(OUTS)))
def test_a_typed_turn_is_calls_or_the_answer(out: object, good: str, bad: str) -> None:
    turn = turn_output(output_of(out), SCHEMAS)
    for text in (PRICE, TIME, f"{PRICE}\n{TIME}", good):
        assert accepts(turn, text)
    for text in (bad, "", UNKNOWN, MISFIT, f"{PRICE}{good}", f"so {PRICE}", PRICE[:-1]):
        assert not accepts(turn, text)


def test_a_free_turn_is_text_with_or_without_calls() -> None:
    turn = turn_output(output_of(None), SCHEMAS)
    for text in ("", "hi", "a < b", f"Let me see.\n{PRICE}\n{TIME}"):
        assert accepts(turn, text)
    for text in (UNKNOWN, MISFIT, "<tool_call>hi", f"{PRICE}<tool_call>"):
        assert not accepts(turn, text)


def test_the_last_turn_of_a_free_agent_allows_no_call() -> None:
    last = answer_output(output_of(None))
    assert accepts(last, "The answer is 3 < 4.")
    assert not accepts(last, PRICE)
    with pytest.raises(OutputInvalid, match="no call is left"):
        last.read(PRICE, "stop")


def test_the_last_turn_of_a_typed_agent_is_its_own_grammar() -> None:
    assert answer_output(output_of(Verdict)).grammar == output_of(Verdict).grammar


def test_calls_are_read_with_the_text_around_them() -> None:
    said = turn_output(output_of(None), SCHEMAS).read(f"Let me see.\n{PRICE}\n{TIME}", "stop")
    assert said.answers == ()
    price: dict[str, object] = {"item": "mug", "count": 2}
    assert said.calls == (ParsedCall("get_price", price), ParsedCall("get_time", {}))
    tool_calls = (
        ToolCall(name="get_price", arguments=price),
        ToolCall(name="get_time", arguments={}),
    )
    assert said.message == Message(role="assistant", content="Let me see.", tool_calls=tool_calls)


def test_an_answer_is_validated() -> None:
    turn = turn_output(output_of(Verdict), SCHEMAS)
    assert turn.read('{"ok": true}', "stop").answers == (Verdict(ok=True),)
    with pytest.raises(OutputInvalid, match="tool call or a valid Verdict"):
        turn.read("{}", "stop")


def test_the_grammar_is_plain_data() -> None:
    grammar = turn_output(output_of(Verdict), SCHEMAS).grammar
    assert grammar is not None
    assert json.loads(grammar.text)["type"] == "structural_tag"
    assert hash(grammar) == hash(turn_output(output_of(Verdict), SCHEMAS).grammar)

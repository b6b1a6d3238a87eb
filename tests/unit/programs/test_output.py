"""``out=``: which grammar it makes, and what text it reads as which value."""

from __future__ import annotations

import json
from typing import Literal

import pytest
from pydantic import BaseModel

from weft.errors import GrammarRejected, OutputInvalid, OutputTruncated
from weft.programs import Ebnf, JsonSchema, Regex
from weft.programs.output import output_of


class Point(BaseModel):
    x: int
    y: float = 0.0


@pytest.mark.parametrize(
    ("out", "kind", "text"),
    [
        (int, "json_schema", '{"type":"integer"}'),
        (list[int], "json_schema", '{"items":{"type":"integer"},"type":"array"}'),
        (Literal["a", "b"], "choices", '["a", "b"]'),
        (["a", "b"], "choices", '["a", "b"]'),
        (Literal[1, True, None], "choices", '["1", "true", "null"]'),
        (Regex("a+"), "regex", "a+"),
        (Ebnf("root ::= x"), "ebnf", "root ::= x"),
        (JsonSchema({"type": "object"}), "json_schema", '{"type": "object"}'),
    ],
)
def test_grammar_by_kind_of_out(out: object, kind: str, text: str) -> None:
    grammar = output_of(out).grammar
    assert grammar is not None
    assert (grammar.kind, grammar.text) == (kind, text)


def test_a_model_gives_its_own_schema() -> None:
    grammar = output_of(Point).grammar
    assert grammar is not None
    assert json.loads(grammar.text) == Point.model_json_schema()


@pytest.mark.parametrize("out", [None, str])
def test_text_has_no_grammar(out: object) -> None:
    assert output_of(out).grammar is None
    assert output_of(out).read("any", "length") == "any"


@pytest.mark.parametrize(
    ("out", "text", "value"),
    [
        (int, "42", 42),
        (bool, "true", True),
        (float, "1.5", 1.5),
        (dict[str, int], '{"a": 1}', {"a": 1}),
        (Point, '{"x": 1}', Point(x=1)),
        (Literal["a", "b"], "b", "b"),
        (Literal[1, 2], "2", 2),
        (["yes", "no"], "no", "no"),
        (Regex("a+b"), "aab", "aab"),
        (Ebnf("root ::= x"), "anything", "anything"),
        (JsonSchema({}), "[1]", [1]),
    ],
)
def test_valid_text_is_read(out: object, text: str, value: object) -> None:
    read = output_of(out).read(text, "stop")
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("out", "text"),
    [
        (int, "4.5"),
        (int, ""),
        (Point, '{"x": "a"}'),
        (Literal["a", "b"], "c"),
        (["yes", "no"], "yes "),
        (Regex("a+b"), "aabb"),
        (Regex("a|b"), "ab"),
        (Regex("a+"), "aa\n"),
        (JsonSchema({}), "[1"),
        (JsonSchema({}), "[" * 100_000),
    ],
)
def test_invalid_text_is_a_typed_error(out: object, text: str) -> None:
    with pytest.raises(OutputInvalid):
        output_of(out).read(text, "stop")


@pytest.mark.parametrize(
    ("out", "text"),
    [(int, "12"), (Regex("a+"), "aa"), (Ebnf("root ::= x"), "x"), (["a", "ab"], "a")]
    + [(Point, '{"x": 1'), (list[int], "[1, 2"), (["yes", "no"], "ye")],
)
def test_text_that_may_be_cut_is_a_typed_error(out: object, text: str) -> None:
    with pytest.raises(OutputTruncated):
        output_of(out).read(text, "length")


@pytest.mark.parametrize(
    ("out", "text", "value"),
    [(Point, '{"x": 1}', Point(x=1)), (list[int], "[1]", [1]), (["yes", "no"], "no", "no")],
)
def test_text_whose_end_shows_is_whole_at_the_limit(out: object, text: str, value: object) -> None:
    assert output_of(out).read(text, "length") == value


@pytest.mark.parametrize(
    "out",
    [
        Regex("(?=a)b"),
        Regex("(a)\\1"),
        Regex("("),
        Regex("((a{1000}){1000}){1000}"),
        [],
        ["a", "a"],
        ["a", ""],
        ["a", 1],
        3,
        "text",
        lambda: 1,
        Literal["1", 1],
        JsonSchema({"a": {1, 2}}),
    ],
)
def test_what_has_no_grammar_is_refused(out: object) -> None:
    with pytest.raises(GrammarRejected):
        output_of(out)


def test_a_hostile_pattern_cannot_hang_the_reader() -> None:
    # Backtracking would take 2**60 steps.
    with pytest.raises(OutputInvalid):
        output_of(Regex("(a+)+b")).read("a" * 60, "stop")


def test_compiled_types_are_kept() -> None:
    assert output_of(Point) is output_of(Point)
    assert output_of(["a", "b"]) is output_of(("a", "b"))

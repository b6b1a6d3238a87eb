from __future__ import annotations

import json

import pytest

from tests.support.grammars import CORPUS, choices, ebnf, regex, schema
from weft.errors import GrammarRejected, InvalidRequest
from weft.programs.grammar import GrammarSpec
from weft.programs.tool_calls import tool_call_tag
from weft.runtime.grammar import GrammarLimits
from weft.runtime.grammar.check import check_spec, is_cheap

LIMITS = GrammarLimits()


def as_schema(text: str) -> GrammarSpec:
    return GrammarSpec(kind="json_schema", text=text)


def tag(content: object) -> GrammarSpec:
    return GrammarSpec(
        kind="structural_tag",
        text=json.dumps({"type": "structural_tag", "format": content}),
    )


REFUSED = [
    (ebnf("x" * 65_537), "65537 bytes"),
    (ebnf("\ud800"), "lone surrogate at position 0"),
    (as_schema("{"), "not JSON"),
    (as_schema('{"a": 1, "a": 2}'), "'a' comes twice"),
    (as_schema('{"minimum": NaN}'), "the number NaN"),
    (as_schema("[" * 10_000), "nests deeper than 64"),
    (as_schema('{"a":' * 10_000), "nests deeper than 64"),
    (as_schema('{"a": "' + "[" * 10_000 + '"}'), "'a' is not enforced"),
    (as_schema('"' + "\\" * 50_000), "not JSON"),
    (as_schema(json.dumps(list(range(5000)))), "holds 5001 JSON values"),
    (schema({"type": "string", "pattern": "(?=a)a"}), "'\\(\\?=' is not enforced"),
    (regex("a" * 2_049), "2049 characters"),
    (regex("(" * 65), "nests deeper than 64"),
    (regex("((a{1,100}){1,100}){1,100}"), "up to 1000000 times"),
    (regex("a{1,99999}"), "up to 99999 times"),
    (regex("a{257,}"), "at least 257 times"),
    (regex(r"(a)\1"), "not enforced"),
    (regex(r"\bword\b"), "not enforced"),
    (regex("(?<!a)b"), "not enforced"),
    (choices(), "choices are"),
    (GrammarSpec(kind="choices", text='["a", 1]'), "choices are"),
    (GrammarSpec(kind="choices", text='[""]'), "choices are"),
    (choices(*map(str, range(1025))), "1025 choices"),
    (tag({"type": "json_schema", "json_schema": {"not": {}}}), "'not' is not enforced"),
    (tag({"type": "regex", "pattern": "(?!a)"}), "not enforced"),
    (tag({"type": "repeat", "min": 0, "max": 10**6, "content": {}}), "repeats 1000000 times"),
    (tag({"type": "qwen_xml_parameter", "json_schema": {}}), "qwen_xml_parameter"),
]


@pytest.mark.parametrize(("spec", "message"), REFUSED, ids=lambda v: str(v)[:50])
def test_costly_and_malformed_descriptions_are_refused(spec: GrammarSpec, message: str) -> None:
    with pytest.raises(GrammarRejected, match=message):
        check_spec(spec, LIMITS)


@pytest.mark.parametrize("spec", CORPUS, ids=lambda spec: spec.text[:50])
def test_corpus_passes(spec: GrammarSpec) -> None:
    check_spec(spec, LIMITS)


def test_brackets_in_classes_and_escapes_do_not_nest() -> None:
    check_spec(regex(r"[(]{3}\(\([^)\]]+" * 40), LIMITS)


def sequence(*elements: object) -> dict[str, object]:
    return {"type": "sequence", "elements": [{"type": "const_string", "value": " "}, *elements]}


def test_only_small_plain_descriptions_are_cheap() -> None:
    assert is_cheap(choices("yes", "no"))
    assert is_cheap(GrammarSpec(kind="json"))
    assert is_cheap(schema({"type": "object", "properties": {"a": {"type": "integer"}}}))
    assert is_cheap(tag(sequence({"type": "json_schema", "json_schema": {"type": "integer"}})))
    assert not is_cheap(tag(sequence({"type": "json_schema", "json_schema": {"$ref": "#"}})))
    assert not is_cheap(tag(sequence({"type": "regex", "pattern": "a"})))
    assert not is_cheap(tag({"type": "star", "content": {"type": "const_string", "value": "a"}}))
    assert not any(map(is_cheap, [tag(sequence("no part")), tag({"type": "or"}), tag(None)]))
    assert not is_cheap(regex("a"))
    assert not is_cheap(schema({"type": "string", "maxLength": 1000}))
    assert not is_cheap(schema({"$ref": "#"}))
    assert not is_cheap(schema({"anyOf": [{"type": "integer"}] * 40}))


def test_limits_must_be_positive() -> None:
    with pytest.raises(InvalidRequest, match="max_depth is 0"):
        GrammarLimits(max_depth=0)


def test_tool_tags_need_a_known_tool() -> None:
    tools = [{"name": "add", "parameters": {"type": "object"}}]
    with pytest.raises(GrammarRejected, match="'sub' among \\['add'\\]"):
        tool_call_tag(tools, required="sub")
    with pytest.raises(GrammarRejected, match="among \\[\\]"):
        tool_call_tag([])

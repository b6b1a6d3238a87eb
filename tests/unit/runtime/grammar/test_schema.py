"""What is refused, and that xgrammar really enforces what is not."""

from __future__ import annotations

import enum
import json
from typing import Annotated, Literal

import pytest
import xgrammar
from pydantic import BaseModel, Field

from tests.support.grammars import INTEGER, NULL, SCHEMAS, STRING, record, schema
from weft.errors import GrammarRejected
from weft.runtime.grammar.build import build
from weft.runtime.grammar.limits import GrammarLimits
from weft.runtime.grammar.schema import FORMATS, check_schema

LIMITS = GrammarLimits()


@pytest.fixture(scope="module")
def compiler() -> xgrammar.GrammarCompiler:
    bytewise = [bytes([byte]) for byte in range(256)] + [b"<end>"]
    vocabulary = xgrammar.TokenizerInfo(bytewise, stop_token_ids=[256])
    return xgrammar.GrammarCompiler(vocabulary, max_threads=1, cache_enabled=False)


def allows(compiler: xgrammar.GrammarCompiler, wanted: object, value: object) -> bool:
    matcher = xgrammar.GrammarMatcher(compiler.compile_grammar(build(schema(wanted))))
    return matcher.accept_string(json.dumps(value, ensure_ascii=False)) and matcher.is_completed()


def obj(**keywords: object) -> dict[str, object]:
    return {"type": "object", **keywords}


def arr(**keywords: object) -> dict[str, object]:
    return {"type": "array", **keywords}


def txt(**keywords: object) -> dict[str, object]:
    return {"type": "string", **keywords}


AB = {"a": INTEGER, "b": INTEGER}
ENFORCED: list[tuple[object, list[object], list[object]]] = [
    (INTEGER, [1, -5], [1.5, "a"]),
    ({"type": ["string", "null"], "minLength": 2}, ["ab", None], ["a", 1]),
    ({"enum": ["a", 1, None, 1.5]}, ["a", 1, None, 1.5], ["b", 2]),
    ({"const": "é"}, ["é"], ["e"]),
    (txt(minLength=2), ["ab"], ["a"]),
    (txt(maxLength=1), ["é"], ["éé"]),
    (txt(pattern="^a+$"), ["aa"], ["", "ab"]),
    ({"type": "integer", "minimum": 3}, [3, 100], [2, -1]),
    ({"type": "integer", "maximum": 30}, [-10, 30], [31, 200]),
    ({"type": "number", "exclusiveMinimum": 0}, [0.5], [0, -1]),
    ({"type": "number", "exclusiveMaximum": 1.5}, [1.4], [1.5, 2]),
    ({"type": "integer", "multipleOf": 7}, [-14, 0, 49], [-13]),
    (arr(items=INTEGER, minItems=2), [[1, 2]], [[1], [1, "a"]]),
    (arr(items=INTEGER, maxItems=2), [[], [1, 2]], [[1, 2, 3]]),
    (arr(prefixItems=[INTEGER, STRING], minItems=2), [[1, "a"]], [["a", 1], [1], [1, "a", 2]]),
    (arr(prefixItems=[INTEGER], items=STRING), [[1, "a"]], [[1, 2]]),
    (arr(prefixItems=[INTEGER], items=False), [[1]], [[1, 2]]),
    (record("a", **AB), [{"a": 1}, {"a": 1, "b": 2}], [{"b": 2}, {}, {"a": 1, "c": 1}]),
    (obj(additionalProperties=INTEGER), [{"x": 1}, {}], [{"x": "a"}]),
    (obj(additionalProperties=INTEGER, minProperties=2), [{"a": 1, "b": 2}], [{"a": 1}]),
    (obj(additionalProperties=INTEGER, maxProperties=1), [{"a": 1}], [{"a": 1, "b": 1}]),
    (obj(properties=AB, minProperties=1, maxProperties=1), [{"a": 1}], [{}, {"a": 1, "b": 1}]),
    (obj(propertyNames={"pattern": "^a+$"}, additionalProperties=INTEGER), [{"aa": 1}], [{"b": 1}]),
    (obj(propertyNames={"minLength": 2}, additionalProperties=INTEGER), [{"aa": 1}], [{"b": 1}]),
    (obj(propertyNames={"enum": ["k"]}, additionalProperties=INTEGER), [{"k": 1}], [{"b": 1}]),
    ({"anyOf": [INTEGER, STRING]}, [1, "a"], [None]),
    ({"oneOf": [INTEGER, STRING]}, [1, "a"], [None]),
    ({"allOf": [INTEGER]}, [1], ["a"]),
    ({"$ref": "#/$defs/A", "description": "x", "$defs": {"A": INTEGER}}, [1], ["a"]),
    (obj(properties={"a": INTEGER, "b": {"$ref": "#/properties/a"}}), [{"b": 1}], [{"b": "x"}]),
    ({}, [1, "a", {"x": [1]}, None], []),
]  # fmt: skip


@pytest.mark.parametrize(("wanted", "valid", "invalid"), ENFORCED, ids=lambda v: str(v)[:60])
def test_what_is_not_refused_is_enforced(
    wanted: object, valid: list[object], invalid: list[object], compiler: xgrammar.GrammarCompiler
) -> None:
    check_schema(wanted, LIMITS)
    assert [value for value in valid if not allows(compiler, wanted, value)] == []
    assert [value for value in invalid if allows(compiler, wanted, value)] == []


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_formats_are_enforced(name: str, compiler: xgrammar.GrammarCompiler) -> None:
    assert not allows(compiler, txt(format=name), "not @ format")


REFUSED: list[tuple[object, str]] = [
    (arr(items=INTEGER, uniqueItems=True), "'uniqueItems' is not enforced"),
    (arr(contains=INTEGER), "'contains' is not enforced"),
    (obj(patternProperties={"^x": INTEGER}), "'patternProperties' is not enforced"),
    (obj(properties=AB, dependentRequired={"a": ["b"]}), "'dependentRequired' is not enforced"),
    ({"not": INTEGER}, "'not' is not enforced"),
    ({"if": INTEGER, "then": STRING}, "'if' is not enforced"),
    ({"$dynamicRef": "#a"}, "'\\$dynamicRef' is not enforced"),
    ({"allOf": [INTEGER, STRING]}, "'allOf' of several"),
    ({"type": "object", "anyOf": [obj(), NULL]}, "'type' beside 'anyOf'"),
    ({"$ref": "#/$defs/A", "minimum": 1, "$defs": {"A": INTEGER}}, "'minimum' beside '\\$ref'"),
    ({"enum": ["a"], "minLength": 2}, "'minLength' beside 'enum'"),
    ({"enum": ["a", 1], "type": "string"}, "not of the type"),
    ({"enum": [{"a": 1}]}, "a list, an object"),
    ({"const": [1]}, "a list, an object"),
    ({"minLength": 2}, "'minLength' without 'type'"),
    ({"type": "number", "multipleOf": 0.5}, "'multipleOf' is not enforced for number"),
    ({"type": "integer", "minLength": 2}, "'minLength' is not enforced for integer"),
    ({"type": "float"}, "'type' is 'float'"),
    (txt(pattern="^a$", maxLength=3), "beside 'pattern'"),
    (txt(format="date", maxLength=30), "beside 'format'"),
    (txt(format="zip"), "the format 'zip'"),
    (obj(properties={"a": INTEGER}, required=["z"]), "names 'z'"),
    (obj(properties=AB, propertyNames={"maxLength": 1}), "'propertyNames' beside"),
    ({"oneOf": [{"type": "integer", "minimum": 0}, INTEGER]}, "may overlap"),
    ({"oneOf": [record("k", k={"const": 1}), record(k={"const": 2})]}, "may overlap"),
    ({"$ref": "http://example.org/a"}, "refers to 'http"),
    ({"$ref": "#/$defs/Missing"}, "leads nowhere at '\\$defs'"),
    ({"$ref": "#name"}, "refers to '#name'"),
    (False, "it is false"),
    (obj(properties={"a": False}), "it is false"),
    (5, "it is 5"),
    (arr(items=[INTEGER]), "it is \\["),
    (obj(properties=[1]), "wrong form"),
    ({"anyOf": []}, "'anyOf' is \\[\\]"),
    ({"enum": list(range(1025))}, "'enum' has 1025 values"),
    (txt(minLength=10**9), "'minLength' is 1000000000"),
    (arr(minItems=257), "'minItems' is 257"),
    (arr(maxItems=10_001), "'maxItems' is 10001"),
    (arr(minItems=-1), "'minItems' is -1"),
    (arr(minItems=True), "'minItems' is True"),
]  # fmt: skip


@pytest.mark.parametrize(("wanted", "message"), REFUSED, ids=lambda v: str(v)[:60])
def test_what_is_not_enforced_is_refused_by_name(wanted: object, message: str) -> None:
    with pytest.raises(GrammarRejected, match=message):
        check_schema({"anyOf": [NULL, wanted], **definitions(wanted)}, LIMITS)


def definitions(wanted: object) -> dict[str, object]:
    return {"$defs": wanted["$defs"]} if isinstance(wanted, dict) and "$defs" in wanted else {}


@pytest.mark.parametrize("wanted", SCHEMAS, ids=lambda v: str(v)[:60])
def test_corpus_passes(wanted: object) -> None:
    check_schema(wanted, LIMITS)


@pytest.mark.parametrize(
    "wanted", [txt(maxLength=6), txt(minLength=1), obj(propertyNames={"maxLength": 3})]
)
def test_counted_strings_hold_escapes_and_no_raw_controls(
    wanted: object, compiler: xgrammar.GrammarCompiler
) -> None:
    """xgrammar 0.2.8 alone lets control characters through here, and escapes not."""
    grammar = compiler.compile_grammar(build(schema(wanted)))
    frame = '{{"{}": 1}}' if "propertyNames" in str(wanted) else '"{}"'

    def is_allowed(inside: str) -> bool:
        matcher = xgrammar.GrammarMatcher(grammar)
        return matcher.accept_string(frame.format(inside)) and matcher.is_completed()

    assert not any(is_allowed(chr(control)) for control in range(32))
    assert all(is_allowed(text) for text in ("\\n", "é", '\\"', "\\\\", "a/", "\U0001f600"))
    assert not any(is_allowed(text) for text in ("\\", '"', "\\x", "\\u00e9"))


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Cat(BaseModel):
    kind: Literal["cat"] = Field()
    lives: Annotated[int, Field(ge=0, le=9)] = 9


class Dog(BaseModel):
    kind: Literal["dog"] = Field()
    name: Annotated[str, Field(min_length=1, max_length=20)]


class Owner(BaseModel):
    """All that a result type usually holds."""

    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    colours: list[Colour] = Field(description="by taste", max_length=4)
    friends: list[Owner] = []
    scores: dict[str, float]
    pair: tuple[int, str]
    note: str | None = None
    code: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    is_known: bool = Field(default=False, title="Known", examples=[True])


def test_pydantic_models_pass() -> None:
    check_schema(Owner.model_json_schema(), LIMITS)

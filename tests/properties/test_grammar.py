"""Masks against xgrammar's own reference, and random writing against a validator."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from typing import cast

import pytest
import torch
import xgrammar

from tests.support.grammars import CORPUS, SCHEMAS, allowed_ids, schema, write
from tests.support.tiny import build_tokenizer
from weft.programs.grammar import GrammarSpec
from weft.runtime.grammar import BatchMasks, GrammarCompiler, GrammarLimits, Matcher
from weft.runtime.grammar.build import build
from weft.runtime.grammar.schema import check_schema
from weft.runtime.grammar.vocabulary import read_vocabulary

VOCAB_SIZE = 420
END_ID = 2


@pytest.fixture(scope="module")
def compiler() -> Iterator[GrammarCompiler]:
    compiler = GrammarCompiler(build_tokenizer(), VOCAB_SIZE, [END_ID])
    compiler.warm()
    yield compiler
    compiler.close()


@pytest.fixture(scope="module")
def reference() -> xgrammar.GrammarCompiler:
    vocabulary = read_vocabulary(build_tokenizer(), VOCAB_SIZE, [END_ID])
    return xgrammar.GrammarCompiler(vocabulary, max_threads=1, cache_enabled=False)


@pytest.fixture(scope="module")
def masks() -> Iterator[BatchMasks]:
    masks = BatchMasks(VOCAB_SIZE)
    yield masks
    masks.close()


def directly(spec: GrammarSpec, reference: xgrammar.GrammarCompiler) -> xgrammar.GrammarMatcher:
    """By xgrammar's own entry points where they speak of the same language; in strings of limited
    length they allow what JSON forbids."""
    if spec.kind == "json_schema" and "Length" not in spec.text:
        compiled = reference.compile_json_schema(
            spec.text, any_whitespace=False, separators=(", ", ": ")
        )
    elif spec.kind == "regex":
        compiled = reference.compile_regex(spec.text)
    elif spec.kind == "ebnf":
        compiled = reference.compile_grammar(spec.text)
    else:
        compiled = reference.compile_grammar(build(spec))
    return xgrammar.GrammarMatcher(compiled)


@pytest.mark.slow
def test_masks_and_acceptance_equal_the_reference(
    compiler: GrammarCompiler, reference: xgrammar.GrammarCompiler, masks: BatchMasks
) -> None:
    assert len(CORPUS) >= 55
    expected = xgrammar.allocate_token_bitmask(1, VOCAB_SIZE)
    rng = random.Random(1)
    for spec in CORPUS:
        ours, theirs = compiler.compile(spec).matcher(), directly(spec, reference)
        for _ in range(25):
            theirs.fill_next_token_bitmask(expected)
            assert torch.equal(masks.fill([None, ours])[1], expected[0]), spec
            token_id = rng.randrange(VOCAB_SIZE)
            if rng.random() < 0.9:
                token_id = rng.choice(allowed_ids(expected[0], VOCAB_SIZE))
            assert ours.accept(token_id) == theirs.accept_token(token_id), spec
            assert ours.is_completed == theirs.is_completed()
            assert ours.find_jump_forward() == ("" if ours.is_terminated else jump(theirs))
            if ours.is_terminated:
                break


def jump(matcher: xgrammar.GrammarMatcher) -> str:
    try:
        return matcher.find_jump_forward_string()
    except UnicodeDecodeError:
        return ""


SCALARS: list[Mapping[str, object]] = [
    {"type": "integer", "minimum": -20, "maximum": 300},
    {"type": "string", "maxLength": 6},
    {"type": "boolean"},
    {"type": "null"},
    {"enum": ["red", "green", 3]},
    {"type": "number", "minimum": 0, "maximum": 10},
    {"type": "string", "pattern": "^[ab]{1,3}$"},
]


def generated(rng: random.Random, depth: int) -> Mapping[str, object]:
    kind = rng.choice(["scalar", "object", "array", "any"]) if depth else "scalar"
    if kind == "scalar":
        return rng.choice(SCALARS)
    if kind == "any":
        return {"anyOf": [generated(rng, depth - 1) for _ in range(2)]}
    if kind == "array":
        least = rng.randrange(3)
        items = generated(rng, depth - 1)
        return {"type": "array", "items": items, "minItems": least, "maxItems": least + 2}
    names = [f"k{i}" for i in range(rng.randint(1, 4))]
    return {
        "type": "object",
        "properties": {name: generated(rng, depth - 1) for name in names},
        "required": [name for name in names if rng.random() < 0.6],
    }


def is_valid(value: object, wanted: Mapping[str, object]) -> bool:
    """A validator for what ``generated`` makes, from the words of JSON Schema alone."""
    if "anyOf" in wanted:
        return any(
            is_valid(value, one) for one in cast(list[Mapping[str, object]], wanted["anyOf"])
        )
    if "enum" in wanted:
        return value in cast(list[object], wanted["enum"])
    if wanted["type"] == "object":
        return is_valid_object(value, wanted)
    if wanted["type"] == "array":
        least, most = cast(int, wanted["minItems"]), cast(int, wanted["maxItems"])
        items = cast(Mapping[str, object], wanted["items"])
        if not isinstance(value, list):
            return False
        listed = cast(list[object], value)
        return least <= len(listed) <= most and all(is_valid(item, items) for item in listed)
    return is_valid_scalar(value, wanted)


def is_valid_object(value: object, wanted: Mapping[str, object]) -> bool:
    if not isinstance(value, dict):
        return False
    properties = cast(Mapping[str, Mapping[str, object]], wanted["properties"])
    named = cast(Mapping[str, object], value)
    return set(cast(list[str], wanted["required"])) <= named.keys() and all(
        name in properties and is_valid(child, properties[name]) for name, child in named.items()
    )


def is_valid_scalar(value: object, wanted: Mapping[str, object]) -> bool:
    match wanted["type"]:
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "string":
            if "pattern" in wanted:
                return isinstance(value, str) and 1 <= len(value) <= 3 and set(value) <= {"a", "b"}
            return isinstance(value, str) and len(value) <= 6
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool) and -20 <= value <= 300
        case _:
            return isinstance(value, int | float) and 0 <= value <= 10


@pytest.mark.slow
def test_random_writing_is_always_valid(
    reference: xgrammar.GrammarCompiler, masks: BatchMasks
) -> None:
    """Two hundred schemas, each written once with free choices and once towards the end."""
    vocabulary = reference.compile_regex("a").tokenizer_info
    texts = {token_id: raw for token_id, raw in enumerate(vocabulary.decoded_vocab)}
    rng = random.Random(7)
    for number in range(200):
        wanted = generated(rng, depth=2)
        check_schema(wanted, GrammarLimits())
        compiled = reference.compile_grammar(build(schema(wanted)))
        for num_free in (0, 25):
            text = written(compiled, texts, masks, random.Random(number), num_free)
            assert is_valid(json.loads(text), wanted), (text, wanted)


def written(
    compiled: xgrammar.CompiledGrammar,
    texts: Mapping[int, bytes],
    masks: BatchMasks,
    rng: random.Random,
    num_free: int,
) -> str:
    matcher = Matcher.of(compiled)
    return write(
        lambda: allowed_ids(masks.fill([matcher])[0], VOCAB_SIZE),
        matcher.accept,
        texts=texts,
        end_id=END_ID,
        rng=rng,
        num_free=num_free,
    )


def test_corpus_holds_each_kind() -> None:
    assert {spec.kind for spec in CORPUS} == {
        "json_schema",
        "json",
        "regex",
        "ebnf",
        "choices",
        "structural_tag",
    }
    assert len(SCHEMAS) >= 30

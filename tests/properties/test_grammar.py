"""Masks against xgrammar's own reference, and random writing against a validator."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping

import pytest
import torch
import xgrammar

from tests.support.grammars import CORPUS, SCHEMAS, allowed_ids, schema, write
from tests.support.schemas import generated, is_valid
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
def masks() -> BatchMasks:
    return BatchMasks(VOCAB_SIZE)


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

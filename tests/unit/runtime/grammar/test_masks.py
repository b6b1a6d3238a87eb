from __future__ import annotations

import random

import pytest
import torch
import xgrammar

from tests.support.grammars import CORPUS, allowed_ids, choices, schema
from tests.support.tiny import build_tokenizer
from weft.runtime.grammar import BatchMasks, CompiledGrammar, GrammarCompiler
from weft.runtime.grammar.check import is_cheap

VOCAB_SIZE = 420
END_ID = 2
PERSON = schema(
    {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
    }
)


@pytest.fixture(scope="module")
def compiler() -> GrammarCompiler:
    """Only cheap descriptions here: no worker is ever started."""
    return GrammarCompiler(build_tokenizer(), VOCAB_SIZE, [END_ID])


@pytest.fixture(scope="module")
def person(compiler: GrammarCompiler) -> CompiledGrammar:
    return compiler.compile(PERSON)


@pytest.fixture
def masks() -> BatchMasks:
    return BatchMasks(VOCAB_SIZE)


def encode(text: str) -> list[int]:
    ids: list[int] = build_tokenizer().backend_tokenizer.encode(text).ids
    return ids


def test_rows_equal_single_masks(person: CompiledGrammar, masks: BatchMasks) -> None:
    rng = random.Random(5)
    matchers = [person.matcher(), None, person.matcher(), person.matcher()]
    single = xgrammar.allocate_token_bitmask(1, VOCAB_SIZE)
    for _ in range(20):
        together = masks.fill(matchers)
        assert together.shape == (4, (VOCAB_SIZE + 31) // 32)
        assert (together[1] == -1).all()
        for row, matcher in enumerate(matchers):
            if matcher is not None:
                matcher.handle.fill_next_token_bitmask(single)
                assert torch.equal(together[row], single[0])
                assert torch.equal(masks.fill_one(matcher), single)
                matcher.accept(rng.choice(allowed_ids(single[0], VOCAB_SIZE)))
        matchers = [m if m is None or not m.is_terminated else person.matcher() for m in matchers]


def test_a_terminated_row_allows_nothing(compiler: GrammarCompiler, masks: BatchMasks) -> None:
    matcher = compiler.compile(choices("A")).matcher()
    assert matcher.accept(encode("A")[0]) and matcher.accept(END_ID)
    assert matcher.is_terminated
    assert not matcher.accept(END_ID)
    assert (masks.fill([matcher, None])[0] == 0).all()
    assert (masks.fill_one(matcher) == 0).all()


def test_a_bigger_batch_gets_room(person: CompiledGrammar, masks: BatchMasks) -> None:
    first = masks.fill([person.matcher()]).clone()
    assert torch.equal(masks.fill([person.matcher()] * 5), first.repeat(5, 1))


def test_a_refused_token_changes_nothing(person: CompiledGrammar, masks: BatchMasks) -> None:
    matcher = person.matcher()
    before = masks.fill([matcher]).clone()
    assert not matcher.accept(encode("A")[0])
    assert torch.equal(masks.fill([matcher]), before)


def test_forks_and_rollbacks(person: CompiledGrammar, masks: BatchMasks) -> None:
    matcher = person.matcher()
    start = masks.fill([matcher]).clone()
    prefix = encode('{"name": "A')
    assert all(matcher.accept(token_id) for token_id in prefix)
    twin = matcher.fork()
    assert all(twin.accept(token_id) for token_id in encode('", "age": 3}'))
    assert twin.is_completed and not matcher.is_completed
    matcher.rollback(len(prefix))
    assert torch.equal(masks.fill([matcher]), start)


def test_what_must_come_next_is_known(person: CompiledGrammar) -> None:
    assert person.matcher().find_jump_forward() == '{"name": "'


def test_other_stop_tokens_may_end_an_output(compiler: GrammarCompiler, masks: BatchMasks) -> None:
    letter = encode("A")[0]
    grammar = compiler.compile(choices("A"))
    matcher = grammar.matcher(stop_token_ids=[0])
    assert matcher.accept(letter)
    assert allowed_ids(masks.fill([matcher])[0], VOCAB_SIZE) == [0]


def test_the_only_token_is_the_one_its_mask_allows(
    compiler: GrammarCompiler, masks: BatchMasks
) -> None:
    rng = random.Random(0)
    cheap = [compiler.compile(spec) for spec in CORPUS if is_cheap(spec)]
    assert len(cheap) > 10
    for grammar in cheap * 3:
        matcher = grammar.matcher()
        for _ in range(30):
            ids = allowed_ids(masks.fill([matcher])[0], VOCAB_SIZE)
            found = masks.only_token(matcher)
            assert found is None or [found] == ids
            # Inside a character no text is certain, so there alone a lone token may be missed.
            assert found is not None or len(ids) != 1 or not matcher.is_completed
            assert allowed_ids(masks.fill([matcher])[0], VOCAB_SIZE) == ids
            if not ids or not matcher.accept(rng.choice(ids)):
                break
        assert not matcher.is_terminated or masks.only_token(matcher) is None


def test_forced_tokens_are_found(compiler: GrammarCompiler, masks: BatchMasks) -> None:
    matcher = compiler.compile(choices("AB", "AC")).matcher()
    letters = [encode(letter)[0] for letter in "AB"]
    assert masks.only_token(matcher) == letters[0]
    assert matcher.accept(letters[0])
    assert masks.only_token(matcher) is None
    assert matcher.accept(letters[1])
    assert masks.only_token(matcher) == END_ID
    assert matcher.accept(END_ID)
    assert masks.only_token(matcher) is None


def test_what_is_accepted_is_what_the_mask_allows(
    compiler: GrammarCompiler, masks: BatchMasks
) -> None:
    rng = random.Random(2)
    for spec in CORPUS:
        if not is_cheap(spec):
            continue
        matcher = compiler.compile(spec).matcher()
        for _ in range(6):
            ids = allowed_ids(masks.fill([matcher])[0], VOCAB_SIZE)
            for token_id in rng.sample(range(VOCAB_SIZE), 60) + ids[:40]:
                is_accepted = matcher.accept(token_id)
                assert is_accepted == (token_id in ids)
                if is_accepted:
                    matcher.rollback(1)
            if not ids or not matcher.accept(rng.choice(ids)):
                break

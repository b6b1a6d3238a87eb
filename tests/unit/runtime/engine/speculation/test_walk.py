"""A walk through a draft puts one matcher where a copy per node would stand."""

from __future__ import annotations

import random

import pytest
import torch

from tests.support.grammars import CORPUS, allowed_ids, choices
from tests.support.tiny import build_tokenizer
from weft.runtime.engine.speculation import ROOT, Draft, GrammarWalk
from weft.runtime.engine.speculation.draft import Node
from weft.runtime.grammar import BatchMasks, GrammarCompiler, Matcher
from weft.runtime.grammar.check import is_cheap

VOCAB_SIZE = 420
TOKENIZER = build_tokenizer()
MASKS = BatchMasks(VOCAB_SIZE)


@pytest.fixture(scope="module")
def compiler() -> GrammarCompiler:
    """Only cheap descriptions here: no worker is ever started."""
    return GrammarCompiler(TOKENIZER, VOCAB_SIZE, [2])


def test_the_matcher_stands_where_a_copy_would(compiler: GrammarCompiler) -> None:
    rng = random.Random(8)
    for spec in filter(is_cheap, CORPUS):
        matcher = compiler.compile(spec).matcher()
        draft, copies = Draft(), {ROOT: matcher.fork()}
        walk = GrammarWalk(matcher, draft)
        for _ in range(12):
            parent = rng.choice(list(copies))
            token_id = rng.choice([rng.randrange(VOCAB_SIZE), *allowed(copies[parent])])
            if draft.child(parent, token_id) is not None:
                continue
            copy = copies[parent].fork()
            is_wanted = copy.accept(token_id) and not copy.is_terminated
            assert walk.try_extend(parent, token_id) == is_wanted
            if is_wanted:
                depth = 1 + len(draft.path(parent))
                copies[draft.add(Node(token_id, parent, depth, 0.5, 1))] = copy
        for node in rng.choices(list(copies), k=20):
            walk.stand(node)
            expected = MASKS.fill([copies[node]]).clone()
            assert torch.equal(MASKS.fill([matcher]), expected)
        walk.stand(ROOT)
        expected = MASKS.fill([copies[ROOT]]).clone()
        assert torch.equal(MASKS.fill([matcher]), expected)


def test_what_ends_an_output_is_not_guessed(compiler: GrammarCompiler) -> None:
    matcher = compiler.compile(choices("A", "AB")).matcher()
    [letter] = TOKENIZER.backend_tokenizer.encode("A").ids
    assert matcher.accept(letter)
    assert not GrammarWalk(matcher, Draft()).try_extend(ROOT, 2)
    assert matcher.accept(2)


def allowed(matcher: Matcher) -> list[int]:
    return allowed_ids(MASKS.fill([matcher])[0], VOCAB_SIZE)[:20]

"""Checking one token instead of all gives what masks give: masking every row is the oracle."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.support.grammars import CORPUS, allowed_ids
from tests.support.tiny import build_tokenizer
from weft.cache import Namespace
from weft.errors import GrammarDeadEnd, LogitsInvalid
from weft.programs.request import Request
from weft.programs.sampling import Sampling
from weft.runtime.engine.chooser import Chooser
from weft.runtime.engine.draws import Draw
from weft.runtime.engine.sampling import Sampler, SamplingRow
from weft.runtime.engine.sequence import Job, Sequence
from weft.runtime.engine.speculation import ROOT, Draft
from weft.runtime.engine.speculation.draft import Node
from weft.runtime.engine.stream import DeltaStream
from weft.runtime.engine.text_stream import TextStream, TokenTexts
from weft.runtime.grammar import BatchMasks, CompiledGrammar, GrammarCompiler, Matcher
from weft.runtime.grammar.check import is_cheap

VOCAB_SIZE = 420
GREEDY = Sampling(temperature=0.0)
WARM = Sampling(temperature=1.0, top_p=0.9)
TOKENIZER = build_tokenizer()
TEXTS = TokenTexts(TOKENIZER.backend_tokenizer)


@pytest.fixture(scope="module")
def grammars() -> list[CompiledGrammar]:
    """Only cheap descriptions: no worker is ever started."""
    compiler = GrammarCompiler(TOKENIZER, VOCAB_SIZE, [2])
    return [compiler.compile(spec) for spec in CORPUS if is_cheap(spec)]


def sequence(sampling: Sampling, matcher: Matcher | None, number: int = 0) -> Sequence:
    asked = Request(request_id=f"{number}", prompt=(5, 6), sampling=sampling)
    job = Job(
        request=asked,
        stream=DeltaStream.__new__(DeltaStream),
        namespace=Namespace(),
        max_tokens=99,
        stop_ids=frozenset(),
    )
    row = SamplingRow(sampling, seed=number)
    return Sequence(job=job, index=0, row=row, text=TextStream(TEXTS, ()), matcher=matcher)


def logits(num_rows: int, rng: np.random.Generator) -> torch.Tensor:
    # Few distinct values: many tokens are the likeliest, and the smallest id must win.
    return torch.from_numpy(rng.integers(0, 40, (num_rows, VOCAB_SIZE)).astype(np.float32))


@pytest.mark.parametrize("sampling", [GREEDY, WARM, replace(GREEDY, logprobs=2)])
def test_tokens_are_those_drawn_under_masks(
    grammars: list[CompiledGrammar], sampling: Sampling
) -> None:
    rng = np.random.default_rng(4)
    masks, sampler = BatchMasks(VOCAB_SIZE), Sampler(VOCAB_SIZE)
    chooser = Chooser(sampler, masks)
    matchers = [None, *(grammar.matcher() for grammar in grammars)]
    for _ in range(12):
        sequences = [sequence(sampling, matcher, at) for at, matcher in enumerate(matchers)]
        draws = [Draw(one, row) for row, one in enumerate(sequences)]
        given = logits(len(draws), rng)
        rows = [one.row for one in sequences]
        wanted = sampler.sample(given.clone(), rows, masks.fill(matchers))
        behind = [None if matcher is None else matcher.fork() for matcher in matchers]
        for matcher, token_id in zip(behind, wanted.token_ids, strict=True):
            assert matcher is None or matcher.accept(token_id)
        expected = masks.fill(behind).clone()
        assert chooser.choose(draws, given) == wanted
        assert torch.equal(masks.fill(matchers), expected)
        matchers = [one for one in matchers if one is None or not one.is_terminated]


def test_faults_are_those_of_masks(grammars: list[CompiledGrammar]) -> None:
    masks = BatchMasks(VOCAB_SIZE)
    chooser = Chooser(Sampler(VOCAB_SIZE), masks)
    sequences = [sequence(GREEDY, grammars[0].matcher(), at) for at in range(3)]
    given = logits(3, np.random.default_rng(0))
    allowed = allowed_ids(masks.fill([sequences[0].matcher])[0], VOCAB_SIZE)
    given[0, allowed] = -torch.inf
    given[1, 7] = torch.nan
    sampled = chooser.choose([Draw(one, row) for row, one in enumerate(sequences)], given)
    assert isinstance(sampled.faults[0], GrammarDeadEnd)
    assert isinstance(sampled.faults[1], LogitsInvalid)
    assert sampled.token_ids[:2] == [-1, -1] and sampled.token_ids[2] in allowed


@pytest.mark.parametrize("sampling", [GREEDY, WARM])
def test_behind_guesses_grammars_hold_as_if_they_came_true(
    grammars: list[CompiledGrammar], sampling: Sampling
) -> None:
    """One token after the other, each under its mask, is the oracle."""
    rng, choose_from = np.random.default_rng(6), random.Random(6)
    masks, sampler = BatchMasks(VOCAB_SIZE), Sampler(VOCAB_SIZE)
    chooser = Chooser(sampler, masks)
    for grammar in grammars * 2:
        one = sequence(sampling, grammar.matcher())
        assert one.matcher is not None
        draft = guesses(one.matcher, masks, choose_from)
        given = logits(1 + len(draft), rng)
        slow, row, node, wanted = one.matcher.fork(), one.row, ROOT, list[int]()
        while True:
            line = given[node + 1 : node + 2].clone()
            [token_id] = sampler.sample(line, [row], masks.fill([slow])).token_ids
            assert slow.accept(token_id)
            wanted.append(token_id)
            row = row.ahead(token_id)
            child = draft.child(node, token_id)
            if child is None:
                break
            node = child
        sampled = chooser.choose([Draw(one, 0, draft)], given)
        path = [0, *(number + 1 for number in draft.path(node))]
        assert [sampled.token_ids[at] for at in path] == wanted
        assert torch.equal(masks.fill([one.matcher]), masks.fill([slow, one.matcher])[:1])


def guesses(matcher: Matcher, masks: BatchMasks, rng: random.Random) -> Draft:
    """A tree of what the grammar allows, nothing of it at an end."""
    draft, behind = Draft(), {ROOT: matcher.fork()}
    for _ in range(8):
        parent = rng.choice(list(behind))
        after = behind[parent].fork()
        ids = allowed_ids(masks.fill([after])[0], VOCAB_SIZE)
        token_id = rng.choice(ids)
        assert after.accept(token_id)
        if after.is_terminated or draft.child(parent, token_id) is not None:
            continue
        depth = 1 if parent == ROOT else draft.nodes[parent].depth + 1
        behind[draft.add(Node(token_id, parent, depth, 0.5, 1))] = after
    return draft

"""When a grammar is asked whether it forces a token."""

from __future__ import annotations

import time
from typing import cast

import pytest

from tests.support.grammars import schema
from tests.support.tiny import build_tokenizer
from weft.cache import Namespace
from weft.cache.kv_store import KVStore
from weft.programs.request import Request
from weft.programs.sampling import Sampling
from weft.runtime.engine.advance import advance
from weft.runtime.engine.config import EngineConfig
from weft.runtime.engine.memory import SequenceMemory
from weft.runtime.engine.planner import Plan
from weft.runtime.engine.sampling import SamplingRow
from weft.runtime.engine.sequence import Job, Sequence
from weft.runtime.engine.speculator import Speculator
from weft.runtime.engine.stream import DeltaStream
from weft.runtime.engine.text_stream import TextStream, TokenTexts
from weft.runtime.grammar import BatchMasks, GrammarCompiler, Matcher

VOCAB_SIZE = 420
TOKENIZER = build_tokenizer().backend_tokenizer
NAME = schema({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]})


class CountingMasks(BatchMasks):
    num_asked = 0

    def only_token(self, matcher: Matcher) -> int | None:
        self.num_asked += 1
        return super().only_token(matcher)


def sequence() -> Sequence:
    compiler = GrammarCompiler(build_tokenizer(), VOCAB_SIZE, [2])
    job = Job(
        request=Request(request_id="r", prompt=(5,), sampling=Sampling()),
        stream=DeltaStream.__new__(DeltaStream),
        namespace=Namespace(),
        max_tokens=99,
        stop_ids=frozenset(),
    )
    return Sequence(
        job=job,
        index=0,
        row=SamplingRow(Sampling(), seed=1),
        text=TextStream(TokenTexts(TOKENIZER), ()),
        matcher=compiler.compile(NAME).matcher(),
    )


def speculator(masks: BatchMasks) -> Speculator:
    return Speculator(
        config=EngineConfig(),
        memory=cast(SequenceMemory, None),
        kv=cast(KVStore, None),
        masks=masks,
        encode=lambda text: TOKENIZER.encode(text).ids,
        clock=time.perf_counter,
    )


@pytest.mark.parametrize(("pays", "num_wanted"), [(False, 8 + 4), (True, 40)])
def test_in_a_long_string_it_is_asked_seldom_unless_guesses_pay(
    pays: bool, num_wanted: int
) -> None:
    masks = CountingMasks(VOCAB_SIZE)
    guesser, one = speculator(masks), sequence()
    assert one.matcher is not None
    if not pays:
        guesser.begin(Plan())
    for token_id in TOKENIZER.encode('{"name": "').ids:
        assert one.matcher.accept(token_id)
    [letter] = TOKENIZER.encode("q").ids
    for _ in range(40):
        assert one.matcher.accept(letter)
        advance(one, letter)
        guesser.force(one)
    assert masks.num_asked == num_wanted


def test_what_is_forced_is_appended_and_counted() -> None:
    masks = CountingMasks(VOCAB_SIZE)
    guesser, one = speculator(masks), sequence()
    assert one.matcher is not None
    for token_id in TOKENIZER.encode('{"name": "q"}').ids:
        assert one.matcher.accept(token_id)
        advance(one, token_id)
    one.num_unforced = 5
    guesser.force(one)
    assert (one.tokens[-1], one.finish_reason) == (2, "stop")
    assert (guesser.num_forced, one.num_unforced) == (1, 0)

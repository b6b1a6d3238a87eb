from __future__ import annotations

import xgrammar

from tests.support.grammars import allowed_ids
from tests.support.tiny import build_tokenizer
from weft.runtime.grammar.vocabulary import read_vocabulary

VOCAB_SIZE = 420
"""More than the tokenizer has, as in models whose vocabulary is padded."""


def test_only_text_is_ever_allowed() -> None:
    tokenizer = build_tokenizer()
    assert len(tokenizer) < VOCAB_SIZE
    vocabulary = read_vocabulary(tokenizer, VOCAB_SIZE, [2])
    compiler = xgrammar.GrammarCompiler(vocabulary, max_threads=1, cache_enabled=False)
    matcher = xgrammar.GrammarMatcher(compiler.compile_regex(r"[\x00-\U0010ffff]*"))
    mask = xgrammar.allocate_token_bitmask(1, VOCAB_SIZE)
    matcher.fill_next_token_bitmask(mask)
    allowed = set(allowed_ids(mask[0], VOCAB_SIZE))
    known = tokenizer.get_vocab()
    assert 2 in allowed, "the output may end here"
    assert {known["<|endoftext|>"], known["<|im_start|>"]}.isdisjoint(allowed)
    assert {known["<tool_call>"], known["{"], known["The"[:1]]} <= allowed
    assert max(allowed) < len(tokenizer)

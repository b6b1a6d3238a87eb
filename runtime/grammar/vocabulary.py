"""A tokenizer as xgrammar needs it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import xgrammar
from transformers import PreTrainedTokenizerBase

__all__ = ["TEXT_MARKERS", "read_vocabulary"]

TEXT_MARKERS = frozenset(["<tool_call>", "</tool_call>", "<think>", "</think>"])
"""Control tokens that are nevertheless text of an answer, which a grammar may ask for."""


def read_vocabulary(
    tokenizer: PreTrainedTokenizerBase,
    vocab_size: int,
    stop_token_ids: Sequence[int],
    text_markers: Collection[str] = TEXT_MARKERS,
) -> xgrammar.TokenizerInfo:
    """``vocab_size`` is the model's, which may exceed the tokenizer's: ids beyond have no text
    and are never allowed.

    Control tokens (``<|im_start|>``) get no text either. As text they would be allowed wherever
    their characters are, inside a JSON string for one, and end or forge a turn.
    """
    found = xgrammar.TokenizerInfo.from_huggingface(
        tokenizer, vocab_size=vocab_size, stop_token_ids=list(stop_token_ids)
    )
    texts = [""] * vocab_size
    control = _control_ids(tokenizer)
    for text, token_id in tokenizer.get_vocab().items():
        if token_id < vocab_size and (token_id not in control or text in text_markers):
            texts[token_id] = text
    return xgrammar.TokenizerInfo(
        texts,
        found.vocab_type,
        vocab_size=vocab_size,
        stop_token_ids=list(stop_token_ids),
        add_prefix_space=found.add_prefix_space,
    )


def _control_ids(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Every token marked special, also those that have no role (bos, eos, …) in transformers."""
    added = tokenizer.added_tokens_decoder.items()
    marked = {token_id for token_id, token in added if token.special}
    return marked | set(tokenizer.all_special_ids)

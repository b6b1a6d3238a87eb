"""A trial run of a compiled grammar: what its masks cost, before it meets the engine."""

from __future__ import annotations

import random
import time
from typing import NamedTuple

import numpy as np
import xgrammar

from weft.runtime.grammar.limits import GrammarLimits

__all__ = ["Trial", "run_trial"]

ATTEMPTS = 5
"""Of a step that took too long: on a shared machine its time includes what others took."""


class Trial(NamedTuple):
    """What the run saw."""

    num_tokens: int
    slowest_seconds: float
    """Processor time of the slowest single step, at its fastest attempt."""
    is_stuck: bool
    """No token at all was allowed somewhere."""


def run_trial(grammar: xgrammar.CompiledGrammar, limits: GrammarLimits) -> Trial:
    """Write random allowed tokens, avoiding the end, and time each step.

    Stops early at the first step that takes too long at every attempt. The choice is seeded: the
    same grammar gives the same run.
    """
    vocab_size = grammar.tokenizer_info.vocab_size
    ends = set(grammar.tokenizer_info.stop_token_ids)
    matcher = xgrammar.GrammarMatcher(grammar)
    mask = xgrammar.allocate_token_bitmask(1, vocab_size)
    bits = mask.numpy().view(np.uint8)
    rng = random.Random(0)
    slowest = 0.0
    num_tokens = 0
    while num_tokens < limits.num_trial_tokens and slowest <= limits.mask_seconds:
        choice = rng.random()
        seconds = float("inf")
        for attempt in range(ATTEMPTS):
            if attempt:
                matcher.rollback(1)
            started = time.thread_time()
            matcher.fill_next_token_bitmask(mask)
            flags = np.unpackbits(bits, bitorder="little")[:vocab_size]
            allowed: list[int] = np.flatnonzero(flags).tolist()
            going_on = [token_id for token_id in allowed if token_id not in ends]
            if not going_on:
                return Trial(num_tokens, slowest, is_stuck=not allowed)
            matcher.accept_token(going_on[int(choice * len(going_on))])
            seconds = min(seconds, time.thread_time() - started)
            if seconds <= limits.mask_seconds:
                break
        slowest = max(slowest, seconds)
        num_tokens += 1
    return Trial(num_tokens, slowest, is_stuck=False)

"""Trials of grammars on a machine whose clock stalls."""

from __future__ import annotations

import itertools
import time

import pytest
import xgrammar

from weft.runtime.grammar.limits import GrammarLimits
from weft.runtime.grammar.trial import run_trial

LIMITS = GrammarLimits(mask_seconds=0.05, num_trial_tokens=8)


def small() -> xgrammar.CompiledGrammar:
    info = xgrammar.TokenizerInfo(["a", "b", "</s>"], stop_token_ids=[2])
    return xgrammar.GrammarCompiler(info).compile_grammar('root ::= ("a" | "b")*')


@pytest.mark.parametrize(("every", "is_slow"), [(3, False), (1, True)])
def test_only_a_step_that_is_slow_at_every_attempt_is_too_slow(
    monkeypatch: pytest.MonkeyPatch, every: int, is_slow: bool
) -> None:
    """Each reading is a second later where the machine stalls: at some attempts, or at all."""
    readings = itertools.count(1)
    now = 0.0

    def stalled() -> float:
        nonlocal now
        if next(readings) % (2 * every) == 0:
            now += 1.0
        return now

    monkeypatch.setattr(time, "thread_time", stalled)
    found = run_trial(small(), LIMITS)
    assert (found.slowest_seconds > LIMITS.mask_seconds) == is_slow
    assert found.num_tokens == (1 if is_slow else 8)

"""All steps of compiling, in whatever process: build, check that it ends, compile, try."""

from __future__ import annotations

import xgrammar

from weft.errors import GrammarRejected
from weft.programs.grammar import GrammarSpec
from weft.runtime.grammar.build import build
from weft.runtime.grammar.limits import GrammarLimits
from weft.runtime.grammar.productive import has_finite_output
from weft.runtime.grammar.trial import run_trial

__all__ = ["assemble"]


def assemble(
    spec: GrammarSpec, compiler: xgrammar.GrammarCompiler, limits: GrammarLimits
) -> xgrammar.CompiledGrammar:
    """Raises: GrammarRejected for whatever is wrong with the description."""
    try:
        grammar = build(spec)
        if not has_finite_output(grammar):
            raise GrammarRejected(
                "The grammar recurses without end: it has no finite output.",
                remedy="Give each recursive rule an alternative that stops.",
            )
        compiled = compiler.compile_grammar(grammar)
    except (RuntimeError, ValueError, TypeError) as error:
        raise GrammarRejected(
            f"The {spec.kind} is not valid: {_last_line(error)}.", remedy="Correct it."
        ) from error
    _check_trial(compiled, limits)
    return compiled


def _check_trial(compiled: xgrammar.CompiledGrammar, limits: GrammarLimits) -> None:
    trial = run_trial(compiled, limits)
    if trial.is_stuck:
        raise GrammarRejected(
            f"After {trial.num_tokens} tokens of a trial no token of the vocabulary can follow.",
            remedy="Use characters that the model's tokenizer can write.",
        )
    if trial.slowest_seconds > limits.mask_seconds:
        raise GrammarRejected(
            f"One mask took {trial.slowest_seconds:.3f} s of processor time in a trial.",
            remedy=f"At most {limits.mask_seconds} s are allowed: nest fewer repetitions.",
        )


def _last_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    text = lines[-1] if lines else type(error).__name__
    # xgrammar puts a time and its own source line in front.
    return text.split(".cc:", 1)[-1].partition(": ")[2] or text

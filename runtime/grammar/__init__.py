"""Constraining output to a grammar: compiling descriptions, following tokens, masking batches."""

from __future__ import annotations

from weft.runtime.grammar.compiler import CompiledGrammar, GrammarCompiler, GrammarStats
from weft.runtime.grammar.limits import GrammarLimits
from weft.runtime.grammar.masks import BatchMasks
from weft.runtime.grammar.matcher import Matcher

__all__ = [
    "BatchMasks",
    "CompiledGrammar",
    "GrammarCompiler",
    "GrammarLimits",
    "GrammarStats",
    "Matcher",
]

"""Compiles descriptions into grammars, safely, and remembers them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock

import xgrammar
from transformers import PreTrainedTokenizerBase

from weft.errors import GrammarRejected
from weft.programs.grammar import GrammarSpec
from weft.runtime.grammar.assemble import assemble
from weft.runtime.grammar.check import check_spec, is_cheap
from weft.runtime.grammar.limits import GrammarLimits
from weft.runtime.grammar.matcher import Matcher
from weft.runtime.grammar.remote import RemoteCompiler
from weft.runtime.grammar.store import ByteCappedStore
from weft.runtime.grammar.vocabulary import read_vocabulary

__all__ = ["CompiledGrammar", "GrammarCompiler", "GrammarStats"]

_REJECTION_BYTES = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledGrammar:
    """A grammar ready for one vocabulary. Shared by any number of sequences and threads."""

    spec: GrammarSpec
    handle: xgrammar.CompiledGrammar

    def matcher(self, stop_token_ids: Sequence[int] | None = None) -> Matcher:
        """A new matcher at the start; ``stop_token_ids`` replaces the compiler's."""
        return Matcher.of(self.handle, stop_token_ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class GrammarStats:
    """A snapshot: counters since the start, and what is kept now."""

    num_hits: int
    num_misses: int
    """Descriptions that had to be compiled (or refused) anew."""
    num_kills: int
    """Workers killed because a description was too costly."""
    num_kept: int
    kept_bytes: int


class GrammarCompiler:
    """One per engine. ``compile`` may be called from any number of threads.

    What is cheap for certain is compiled on the calling thread; all else in a worker process with
    a memory cap and a deadline. ``warm`` starts that process ahead of need.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        vocab_size: int,
        stop_token_ids: Sequence[int],
        *,
        limits: GrammarLimits | None = None,
    ) -> None:
        """``vocab_size`` is the width of the model's logits; ``stop_token_ids`` end an output."""
        self._limits = limits or GrammarLimits()
        vocabulary = read_vocabulary(tokenizer, vocab_size, stop_token_ids)
        self._local = xgrammar.GrammarCompiler(vocabulary, max_threads=1, cache_enabled=False)
        self._remote = RemoteCompiler(vocabulary, self._limits)
        self._remote_lock = Lock()
        self._lock = Lock()
        self._kept: ByteCappedStore[GrammarSpec, CompiledGrammar | GrammarRejected] = (
            ByteCappedStore(self._limits.cache_bytes)
        )
        self._compiling: dict[GrammarSpec, Future[CompiledGrammar]] = {}
        self._num_hits = 0
        self._num_misses = 0

    def warm(self) -> None:
        """Start the worker, without waiting until it is ready."""
        with self._remote_lock:
            self._remote.start()

    @property
    def worker_pid(self) -> int | None:
        """The worker's process id, while there is one."""
        return self._remote.pid

    def known(self, spec: GrammarSpec) -> CompiledGrammar | None:
        """The compiled grammar where it is in memory; does not block."""
        with self._lock:
            known = self._kept.get(spec)
            if not isinstance(known, CompiledGrammar):
                return None
            self._num_hits += 1
            return known

    def compile(self, spec: GrammarSpec) -> CompiledGrammar:
        """The compiled grammar, from memory when it is known. Blocks for as long as compiling
        takes; the same description asked for by several threads is compiled once.

        Raises: GrammarRejected.
        """
        mine = Future[CompiledGrammar]()
        with self._lock:
            known = self._kept.get(spec) or self._compiling.setdefault(spec, mine)
            is_new = known is mine
            self._num_misses += is_new
            self._num_hits += not is_new
        if is_new:
            return self._compile_anew(spec, mine)
        if isinstance(known, GrammarRejected):
            raise GrammarRejected(known.what, remedy=known.remedy)
        return known if isinstance(known, CompiledGrammar) else known.result()

    def stats(self) -> GrammarStats:
        with self._lock:
            return GrammarStats(
                num_hits=self._num_hits,
                num_misses=self._num_misses,
                num_kills=self._remote.num_kills,
                num_kept=len(self._kept),
                kept_bytes=self._kept.size_bytes,
            )

    def close(self) -> None:
        """Kill the worker. Grammars already compiled stay valid."""
        with self._remote_lock:
            self._remote.close()

    def _compile_anew(self, spec: GrammarSpec, mine: Future[CompiledGrammar]) -> CompiledGrammar:
        try:
            compiled = CompiledGrammar(spec=spec, handle=self._compiled(spec))
        except BaseException as error:
            with self._lock:
                del self._compiling[spec]
                if isinstance(error, GrammarRejected) and error.__cause__ is None:
                    self._kept.put(spec, error, _REJECTION_BYTES + len(spec.text))
            mine.set_exception(error)
            raise
        with self._lock:
            del self._compiling[spec]
            size_bytes = compiled.handle.memory_size_bytes + len(spec.text)
            self._kept.put(spec, compiled, size_bytes)
        mine.set_result(compiled)
        return compiled

    def _compiled(self, spec: GrammarSpec) -> xgrammar.CompiledGrammar:
        check_spec(spec, self._limits)
        if is_cheap(spec):
            return assemble(spec, self._local, self._limits)
        with self._remote_lock:
            return self._remote.compile(spec)

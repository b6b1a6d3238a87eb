"""Which sequences compute how many tokens in the next Tick."""

from __future__ import annotations

from bisect import insort
from typing import NamedTuple

from weft.cache import BlockCopy, Namespace
from weft.runtime.engine.config import EngineConfig
from weft.runtime.engine.memory import SequenceMemory
from weft.runtime.engine.sequence import Sequence
from weft.runtime.engine.speculation import Draft

__all__ = ["Part", "Plan", "Planner"]

MAX_PASSED_OVER = 256
"""Waiting sequences that one Tick looks at for one that can start."""

Beginning = tuple[Namespace, tuple[int, ...]]
"""Within what a sequence shares, and its first block of tokens."""


class Part(NamedTuple):
    """The next ``num_tokens`` pending tokens of a sequence: one to decode, more to prefill."""

    sequence: Sequence
    num_tokens: int
    draft: Draft | None = None
    """Guesses at what follows its last token, computed with it."""

    @property
    def num_guesses(self) -> int:
        return 0 if self.draft is None else len(self.draft)

    @property
    def is_last(self) -> bool:
        """Nothing stays pending: the sequence's next token can be drawn."""
        return self.num_tokens == self.sequence.num_pending


class Plan:
    """One Tick's work, with its KV room reserved. Filled by the Planner, then only read."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.copies: list[BlockCopy] = []
        """Blocks to copy before anything is written."""
        self.num_tokens = 0
        self.num_guesses = 0
        self.is_decoding = True
        """Every sequence goes on with what it generates; no prompt is computed."""
        self.has_glimpses = False
        """A sequence sees more than its own table."""

    @property
    def is_plain(self) -> bool:
        """Every sequence computes one token, and draws the next one."""
        return self.is_decoding and self.num_tokens == len(self.parts)

    def add(self, part: Part, copies: list[BlockCopy]) -> None:
        self.parts.append(part)
        self.copies += copies
        self.num_tokens += part.num_tokens
        self.is_decoding &= part.sequence.num_generated > 0 and part.is_last
        self.has_glimpses |= bool(part.sequence.glimpses)

    def go_on(self, sequence: Sequence) -> None:
        """Add the one pending token of a sequence that generates, and has room for it."""
        self.parts.append(Part(sequence, 1))
        self.num_tokens += 1
        self.has_glimpses |= bool(sequence.glimpses)

    def guess(self, at: int, draft: Draft) -> None:
        """Let part ``at`` carry a draft, for which there must be room."""
        self.parts[at] = self.parts[at]._replace(draft=draft)
        self.num_tokens += len(draft)
        self.num_guesses += len(draft)


class Planner:
    """Continuous batching in order of rank: decodes first, then prompts in chunks, then new ones.

    When blocks run out the sequence that ranks last is preempted: it gives its blocks back, waits
    at its old rank, and recomputes what the prefix index no longer holds. The first sequence can
    therefore always go on. Owned by the engine's thread.
    """

    def __init__(self, config: EngineConfig, memory: SequenceMemory) -> None:
        self._config = config
        self._memory = memory
        self.running: list[Sequence] = []
        self.waiting: list[Sequence] = []
        self.num_preemptions = 0

    @property
    def has_work(self) -> bool:
        return bool(self.running or self.waiting)

    @property
    def num_places(self) -> int:
        """Sequences that may still start to run."""
        return self._config.max_running - sum(not sequence.is_silent for sequence in self.running)

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence that holds no blocks."""
        insort(self.waiting, sequence, key=_rank)

    def start(self, sequence: Sequence) -> None:
        """Run a sequence that already holds its blocks (a fork)."""
        insort(self.running, sequence, key=_rank)

    def remove(self, sequence: Sequence) -> None:
        """Forget a sequence and take its blocks back."""
        (self.running if sequence.table is not None else self.waiting).remove(sequence)
        self._memory.release(sequence)

    def plan(self) -> Plan:
        """Choose the Tick's parts and reserve their blocks; preempts and admits as it goes."""
        plan = Plan()
        decodes = [s for s in self.running if len(s.tokens) - s.num_computed == 1]
        is_all = len(decodes) == len(self.running)
        for sequence in decodes:
            # Most decodes have room left in their last block, and need nothing but their place.
            if sequence.num_computed < sequence.num_writable and sequence.num_generated > 0:
                plan.go_on(sequence)
            else:
                self._extend(plan, sequence)
        if not is_all:
            for sequence in [s for s in self.running if s.num_pending > 1]:
                self._extend(plan, sequence)
        if self.waiting:
            self._admit(plan)
        return plan

    def _extend(self, plan: Plan, sequence: Sequence) -> None:
        """Add a part for ``sequence``, unless it was preempted or cannot get room."""
        budget = self._config.max_batch_tokens - plan.num_tokens
        num_tokens = min(sequence.num_pending, budget)
        if sequence.table is None or num_tokens == 0:
            return
        while (copies := self._memory.try_reserve(sequence, num_tokens)) is None:
            if not self._preempt_below(plan, sequence):
                return
        plan.add(Part(sequence, num_tokens), copies)

    def _preempt_below(self, plan: Plan, sequence: Sequence) -> bool:
        """Stop the last running sequence that has no part yet; false when it is this one."""
        in_use = {id(part.sequence) for part in plan.parts}
        in_use |= {id(seen.holder) for part in plan.parts for seen in part.sequence.glimpses}
        victim = next(s for s in reversed(self.running) if id(s) not in in_use)
        self._preempt(victim)
        return victim is not sequence

    def _preempt(self, victim: Sequence) -> None:
        """Take its blocks back; it waits at its old rank. What sees it ranks after it, and was
        stopped before."""
        self.running.remove(victim)
        self._memory.release(victim)
        self.add(victim)
        self.num_preemptions += 1

    def _admit(self, plan: Plan) -> None:
        """Start waiting sequences in order, while places, tokens and blocks last. Passed over are
        those that would only compute what is being computed: what they see, or how they begin."""
        warming = self._warming()
        at = 0
        while at < min(len(self.waiting), MAX_PASSED_OVER) and self.num_places > 0:
            head = self.waiting[at]
            if plan.num_tokens >= self._config.max_batch_tokens:
                return
            if not head.is_ready or self._is_warming(head, warming):
                at += 1
            elif self._try_start(plan, head):
                if head.num_generated == 0 and head.num_pending > 0:
                    warming.setdefault(self._beginning(head), []).append(head)
            else:
                return

    def _try_start(self, plan: Plan, head: Sequence) -> bool:
        """Give a waiting sequence its blocks and its part. Where nothing else could go on, those
        that rank after it make room."""
        num_growing = sum(not sequence.is_silent for sequence in self.running)
        while not self._memory.try_admit(head, num_reserved=num_growing):
            if plan.parts or not self.running or self.running[-1].rank < head.rank:
                return False
            self._preempt(self.running[-1])
        self.waiting.remove(head)
        self.start(head)
        self._extend(plan, head)
        return True

    def _warming(self) -> dict[Beginning, list[Sequence]]:
        """Running sequences whose prompt is not computed yet, by how they begin."""
        found: dict[Beginning, list[Sequence]] = {}
        if self._config.has_prefix_cache:
            for sequence in self.running:
                if sequence.num_generated == 0 and sequence.num_pending > 0:
                    found.setdefault(self._beginning(sequence), []).append(sequence)
        return found

    def _beginning(self, sequence: Sequence) -> Beginning:
        return sequence.namespace, tuple(sequence.tokens[: self._config.block_size])

    def _is_warming(self, head: Sequence, warming: dict[Beginning, list[Sequence]]) -> bool:
        """A running sequence will have computed more of ``head``'s beginning than is cached."""
        if not warming or head.num_shareable < self._config.block_size:
            return False
        others = warming.get(self._beginning(head), ())
        return any(self._memory.will_share(head, other) for other in others)


def _rank(sequence: Sequence) -> tuple[int, int, int]:
    return sequence.rank

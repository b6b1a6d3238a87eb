"""Which sequences compute how many tokens in the next Tick."""

from __future__ import annotations

from bisect import insort
from typing import NamedTuple

from weft.cache import BlockCopy
from weft.runtime.engine.config import EngineConfig
from weft.runtime.engine.memory import SequenceMemory
from weft.runtime.engine.sequence import Sequence
from weft.runtime.engine.speculation import Draft

__all__ = ["Part", "Plan", "Planner"]


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

    @property
    def is_plain(self) -> bool:
        """Every sequence computes one token, and draws the next one."""
        return self.is_decoding and self.num_tokens == len(self.parts)

    def add(self, part: Part, copies: list[BlockCopy]) -> None:
        self.parts.append(part)
        self.copies += copies
        self.num_tokens += part.num_tokens
        self.is_decoding &= part.sequence.num_generated > 0 and part.is_last

    def go_on(self, sequence: Sequence) -> None:
        """Add the one pending token of a sequence that generates, and has room for it."""
        self.parts.append(Part(sequence, 1))
        self.num_tokens += 1

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
        return self._config.max_running - len(self.running)

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
        planned = {id(part.sequence) for part in plan.parts}
        victim = next(s for s in reversed(self.running) if id(s) not in planned)
        self.running.remove(victim)
        self._memory.release(victim)
        self.add(victim)
        self.num_preemptions += 1
        return victim is not sequence

    def _admit(self, plan: Plan) -> None:
        """Start waiting sequences, strictly in order, while places, tokens and blocks last."""
        while self.waiting and self.num_places > 0:
            head = self.waiting[0]
            if plan.num_tokens >= self._config.max_batch_tokens:
                return
            if not self._memory.try_admit(head, num_reserved=len(self.running)):
                return
            self.waiting.pop(0)
            self.start(head)
            self._extend(plan, head)


def _rank(sequence: Sequence) -> tuple[int, int, int]:
    return sequence.rank

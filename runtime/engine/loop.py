"""The engine's loop: one Tick after the other, on a thread of its own."""

from __future__ import annotations

from typing import Protocol

import torch

from weft.cache.kv_store import KVStore
from weft.errors import EngineClosed, EngineDied, EngineError
from weft.runtime.engine.advance import advance, finish
from weft.runtime.engine.batch import PackedBatch
from weft.runtime.engine.config import EngineConfig
from weft.runtime.engine.desk import Desk
from weft.runtime.engine.draws import Draw, matchers, sampling_rows, wanted_logits
from weft.runtime.engine.inbox import Cancel, Inbox, Submit
from weft.runtime.engine.memory import SequenceMemory
from weft.runtime.engine.packer import pack, wanted_rows
from weft.runtime.engine.planner import Part, Plan, Planner
from weft.runtime.engine.sampling import Sampled, Sampler
from weft.runtime.engine.scoring import score_rows
from weft.runtime.engine.sequence import Sequence
from weft.runtime.engine.speculator import Speculator
from weft.runtime.grammar import BatchMasks

__all__ = ["EngineLoop", "Model"]


class Model(Protocol):
    """What the loop needs of a model."""

    def forward(self, batch: PackedBatch, kv: KVStore) -> torch.Tensor:
        """Next-token logits [R, V], float32, after writing the batch's keys and values."""
        ...


class EngineLoop:
    """Receives, plans, runs the model, draws, delivers; until told to close.

    Everything it owns is touched by its own thread alone, but for the inbox and the counters.
    """

    def __init__(
        self,
        *,
        config: EngineConfig,
        model: Model,
        kv: KVStore,
        memory: SequenceMemory,
        sampler: Sampler,
        masks: BatchMasks,
        speculator: Speculator,
        inbox: Inbox,
    ) -> None:
        self._block_size = config.block_size
        self._model = model
        self._kv = kv
        self._memory = memory
        self._sampler = sampler
        self._masks = masks
        self.speculator = speculator
        self._inbox = inbox
        self.planner = Planner(config, memory)
        self._desk = Desk(self.planner, config.max_waiting)
        self._is_closing = False
        self.stopped_by: EngineError | None = None
        """Why nothing is served any more; ``None`` while the loop runs."""
        self.num_ticks = 0
        self.num_prompt_tokens = 0
        self.num_cached_tokens = 0
        self.num_generated_tokens = 0

    def run(self) -> None:
        """Serve until closed. An unexpected error fails every open Request with EngineDied."""
        try:
            while not self._is_closing:
                self.receive()
                if self.planner.has_work:
                    self.tick()
                self._desk.deliver()
            self._stop(EngineClosed("The engine was closed.", remedy="Open a new one."))
        except Exception as cause:
            died = EngineDied(
                f"The engine stopped on {type(cause).__name__}: {cause}.",
                remedy="Open a new engine, and report this with its traceback.",
            )
            died.__cause__ = cause
            self._stop(died)

    def _stop(self, error: EngineError) -> None:
        """Fail what is open, and what was posted while nobody looked any more.

        A submitter posts first and reads ``stopped_by`` afterwards, so that one of the two sees
        the other.
        """
        self.stopped_by = error
        self._desk.fail_all(error)
        self._desk.deliver()
        for letter in self._inbox.collect(is_blocking=False):
            if isinstance(letter, Submit):
                self._desk.refuse(letter.job, error)

    def receive(self) -> None:
        """Take in what was posted; waits when there is nothing else to do."""
        for letter in self._inbox.collect(is_blocking=not self.planner.has_work):
            if isinstance(letter, Submit):
                self._desk.open(letter.job)
            elif isinstance(letter, Cancel):
                self._desk.cancel(letter.request_id, letter.indices)
            else:
                self._is_closing = True

    def tick(self) -> None:
        """Compute the next tokens of as many sequences as fit."""
        plan = self.planner.plan()
        assert plan.parts, "there is work, yet nothing could be planned"
        self.speculator.begin(plan)
        draws = self._choose_draws(plan)
        self._masks.start(matchers(draws))
        logits_RV = self._forward(plan)
        self._score(plan, logits_RV)
        self._settle(plan, draws)
        num_drawn = self._draw(draws, logits_RV)
        self.speculator.end(plan, num_drawn)
        self.num_ticks += 1

    def _choose_draws(self, plan: Plan) -> list[Draw]:
        """Sequences with nothing pending after this Tick, and siblings that fork from them."""
        draws: list[Draw] = []
        row = 0
        for part in plan.parts:
            sequence = part.sequence
            if part.is_last and sequence.job.score_from is None:
                draws.append(Draw(sequence, row, part.draft))
                draws += [Draw(sibling, row) for sibling in self._take_siblings(sequence)]
            row += len(_rows(part)) + part.num_guesses
        return draws

    def _take_siblings(self, leader: Sequence) -> list[Sequence]:
        """The leader's siblings: as many as have a place start with it, the others queue."""
        siblings, leader.job.unforked = leader.job.unforked, []
        for sibling in siblings[self.planner.num_places :]:
            self.planner.add(sibling)
        siblings = siblings[: self.planner.num_places]
        for sibling in siblings:
            self._memory.fork(leader, sibling)
            self.planner.start(sibling)
        return siblings

    def _forward(self, plan: Plan) -> torch.Tensor:
        if plan.copies:
            self._kv.copy_blocks(plan.copies)
        return self._model.forward(pack(plan.parts, self._block_size), self._kv)

    def _score(self, plan: Plan, logits_RV: torch.Tensor) -> None:
        """Take the log-probabilities that scoring parts came for."""
        row = 0
        for part in plan.parts:
            rows = _rows(part)
            if part.sequence.job.score_from is not None and rows:
                score_rows(part.sequence, rows, logits_RV[row : row + len(rows)])
            row += len(rows) + part.num_guesses

    def _settle(self, plan: Plan, draws: list[Draw]) -> None:
        """The parts' keys and values are in the cache now; finished prompts become shareable."""
        for part in plan.parts:
            sequence = part.sequence
            sequence.num_computed += part.num_tokens
            if sequence.num_pending == 0 and sequence.job.score_from is not None:
                finish(sequence, "stop")
                self._retire(sequence)
        for sequence, _, _ in draws:
            if sequence.num_generated == 0:
                sequence.num_computed = sequence.num_prompt
                self._memory.index_prompt(sequence)
                self.num_prompt_tokens += sequence.num_prompt
                self.num_cached_tokens += sequence.num_cached

    def _draw(self, draws: list[Draw], logits_RV: torch.Tensor) -> int:
        """Draw for every sequence, and see which guesses come true; how many tokens they got."""
        bitmask = self._masks.wait()
        if not draws:
            return 0
        wanted = wanted_logits(draws)
        if wanted != list(range(len(logits_RV))):
            logits_RV = logits_RV[wanted]
        sampled = self._sampler.sample(logits_RV, sampling_rows(draws), bitmask)
        num_drawn = row = 0
        for draw in draws:
            num_before = draw.sequence.num_generated
            if not draw.sequence.is_done:
                self._take(draw, row, sampled)
            num_drawn += draw.sequence.num_generated - num_before
            row += draw.num_rows
        self.num_generated_tokens += num_drawn
        return num_drawn

    def _take(self, draw: Draw, row: int, sampled: Sampled) -> None:
        """Give a sequence what was drawn in ``row``, and then what was drawn behind each guess
        that came true by it."""
        sequence, rows = draw.sequence, [row]
        if draw.draft is not None:
            drawn = sampled.token_ids[row : row + draw.num_rows]
            nodes = self.speculator.verify(sequence, draw.draft, drawn)
            rows += [row + 1 + node for node in nodes]
        for at in rows:
            if at in sampled.faults:
                self._desk.note(sequence)
                self._desk.fail_sequence(sequence, sampled.faults[at])
                return
            # A guess that came true is a token of the sequence, and computed.
            sequence.num_computed += sequence.num_pending
            advance(sequence, sampled.token_ids[at], sampled.logprobs.get(at))
            if sequence.is_done:
                break
        self.speculator.force(sequence)
        self._retire(sequence)

    def _retire(self, sequence: Sequence) -> None:
        """Send what is due; a finished sequence gives its blocks back."""
        if sequence.is_done:
            self.planner.remove(sequence)
            self.speculator.remember(sequence)
        self._desk.note(sequence)


def _rows(part: Part) -> range:
    start = part.sequence.num_computed
    return wanted_rows(part.sequence, start, start + part.num_tokens)

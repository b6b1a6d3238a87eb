"""The engine's loop: one Tick after the other, on a thread of its own."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Seq
from typing import Protocol

import torch

from weft.cache.kv_store import KVStore
from weft.errors import EngineClosed, EngineDied, EngineError
from weft.runtime.engine.advance import advance, finish
from weft.runtime.engine.batch import PackedBatch
from weft.runtime.engine.chooser import Chooser
from weft.runtime.engine.config import EngineConfig
from weft.runtime.engine.desk import Desk
from weft.runtime.engine.draws import Draw
from weft.runtime.engine.inbox import Cancel, Demote, Disband, Inbox, Release, Submit
from weft.runtime.engine.memory import SequenceMemory
from weft.runtime.engine.packer import pack, pack_decodes, wanted_rows
from weft.runtime.engine.planner import Part, Plan, Planner
from weft.runtime.engine.sampling import Sampled
from weft.runtime.engine.scoring import score_rows
from weft.runtime.engine.sequence import Sequence
from weft.runtime.engine.speculation import Draft
from weft.runtime.engine.speculator import Speculator

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
        chooser: Chooser,
        speculator: Speculator,
        inbox: Inbox,
        encode: Callable[[str], Seq[int]],
        decode: Callable[[Seq[int]], str],
        clock: Callable[[], float],
    ) -> None:
        self._block_size = config.block_size
        self._model = model
        self._kv = kv
        self._memory = memory
        self._chooser = chooser
        self.speculator = speculator
        self._inbox = inbox
        self.planner = Planner(config, memory)
        self._desk = Desk(self.planner, config, encode=encode, decode=decode, clock=clock)
        self._is_closing = False
        self._is_stalled = False
        """Only a letter can change anything: what there is waits for lanes, or for their room."""
        self.stopped_by: EngineError | None = None
        """Why nothing is served any more; ``None`` while the loop runs."""
        self._clock = clock
        self.busy_s = 0.0
        self.num_ticks = 0
        self.num_prefilled_tokens = 0
        self.num_decoded_tokens = 0
        self.num_read_tokens = 0
        self.num_prompt_tokens = 0
        self.num_cached_tokens = 0
        self.num_generated_tokens = 0

    def run(self) -> None:
        """Serve until closed. An unexpected error fails every open Request with EngineDied."""
        try:
            while not self._is_closing:
                self.turn()
            self._stop(EngineClosed("The engine was closed.", remedy="Open a new one."))
        except Exception as cause:
            died = EngineDied(
                f"The engine stopped on {type(cause).__name__}: {cause}.",
                remedy="Open a new engine, and report this with its traceback.",
            )
            died.__cause__ = cause
            self._stop(died)

    @property
    def is_idle(self) -> bool:
        """Nothing happens before a letter comes."""
        return self._is_stalled or not self.planner.has_work

    def turn(self) -> None:
        """Take in letters, waiting for one if idle; compute one Tick; deliver."""
        self.receive()
        begun_s = self._clock()
        if self.planner.has_work:
            self.tick()
        self._desk.deliver(is_last=self.is_idle)
        self.busy_s += self._clock() - begun_s

    def _stop(self, error: EngineError) -> None:
        """Fail what is open, and what was posted while nobody looked any more.

        A submitter posts first and reads ``stopped_by`` afterwards, so that one of the two sees
        the other.
        """
        self.stopped_by = error
        self._desk.fail_all(error)
        self._desk.deliver(is_last=True)
        for letter in self._inbox.collect(is_blocking=False):
            if isinstance(letter, Submit):
                self._desk.refuse(letter.job, error)

    def receive(self) -> None:
        """Take in what was posted; waits when there is nothing else to do."""
        for letter in self._inbox.collect(is_blocking=self.is_idle):
            if isinstance(letter, Submit):
                self._desk.open(letter.job)
            elif isinstance(letter, Cancel):
                self._desk.cancel(letter.request_id, letter.indices)
            elif isinstance(letter, Disband):
                self._desk.disband(letter.team_id)
            elif isinstance(letter, Release):
                self._memory.give_up(letter.run_id)
            elif isinstance(letter, Demote):
                self._memory.demote(letter.run_id)
            else:
                self._is_closing = True

    def tick(self) -> None:
        """Compute the next tokens of as many sequences as fit."""
        plan = self.planner.plan()
        self._is_stalled = not plan.parts
        if self._is_stalled:
            assert self.planner.teams, "there is work, yet nothing could be planned"
            return
        self.speculator.begin(plan)
        draws = self._choose_draws(plan)
        logits_RV = self._forward(plan)
        self._score(plan, logits_RV)
        self._settle(plan, draws)
        num_drawn = self._draw(draws, logits_RV)
        self.speculator.end(plan, num_drawn)
        self.num_ticks += 1

    def _choose_draws(self, plan: Plan) -> list[Draw]:
        """Sequences with nothing pending after this Tick, and siblings that fork from them."""
        if plan.is_plain:
            return [Draw(part.sequence, row) for row, part in enumerate(plan.parts)]
        draws: list[Draw] = []
        row = 0
        for part in plan.parts:
            sequence, num_tokens, draft = part
            if sequence.is_scored:
                row += len(_rows(part))
            elif sequence.is_silent:
                continue
            elif num_tokens == len(sequence.tokens) - sequence.num_computed:
                draws.append(Draw(sequence, row, draft))
                if sequence.job.unforked:
                    draws += [Draw(sibling, row) for sibling in self._take_siblings(sequence)]
                row += 1 if draft is None else 1 + len(draft)
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
        pack_parts = pack_decodes if plan.is_plain else pack
        return self._model.forward(pack_parts(plan.parts, self._block_size), self._kv)

    def _score(self, plan: Plan, logits_RV: torch.Tensor) -> None:
        """Take the log-probabilities that scoring parts came for."""
        if plan.is_decoding:
            return
        row = 0
        for part in plan.parts:
            rows = _rows(part)
            if part.sequence.is_scored and rows:
                score_rows(part.sequence, rows, logits_RV[row : row + len(rows)])
            row += len(rows) + part.num_guesses

    def _settle(self, plan: Plan, draws: list[Draw]) -> None:
        """The parts' keys and values are in the cache now; finished prompts become shareable."""
        for sequence, num_tokens, _ in plan.parts:
            sequence.num_computed += num_tokens
            if num_tokens == 1:
                self.num_decoded_tokens += 1
                self.num_read_tokens += len(sequence.tokens)
            else:
                self.num_prefilled_tokens += num_tokens
            if sequence.is_silent:
                sequence.job.num_filled += num_tokens
        if plan.is_decoding:
            return
        for sequence, _, _ in plan.parts:
            if sequence.num_pending == 0 and sequence.is_scored:
                finish(sequence, "stop")
                self._retire(sequence)
            elif sequence.num_generated == 0:
                # As soon as it is there, so that others with the same prompt need not compute it.
                self._memory.index_prompt(sequence)
        for sequence, _, _ in draws:
            if sequence.num_generated == 0:
                sequence.num_computed = sequence.num_prompt
                self._memory.index_prompt(sequence)
                self.num_prompt_tokens += sequence.num_seen
                self.num_cached_tokens += sequence.num_spared

    def _draw(self, draws: list[Draw], logits_RV: torch.Tensor) -> int:
        """Draw for every sequence, and see which guesses come true; how many tokens they got."""
        if not draws:
            return 0
        sampled = self._chooser.choose(draws, logits_RV)
        num_drawn = row = 0
        for sequence, _, draft in draws:
            num_before = len(sequence.tokens)
            # A request that fails ends its other sequences too.
            if sequence.finish_reason is None:
                self._take(sequence, draft, row, sampled)
                num_drawn += len(sequence.tokens) - num_before
            row += 1 if draft is None else 1 + len(draft)
        self.num_generated_tokens += num_drawn
        return num_drawn

    def _take(self, sequence: Sequence, draft: Draft | None, row: int, sampled: Sampled) -> None:
        """Give a sequence what was drawn in ``row``, and then what was drawn behind each guess
        that came true by it."""
        rows = [row]
        if draft is not None:
            drawn = sampled.token_ids[row : row + 1 + len(draft)]
            nodes = self.speculator.verify(sequence, draft, drawn)
            rows += [row + 1 + node for node in nodes]
        for at in rows:
            if at in sampled.faults:
                self._desk.note(sequence)
                self._desk.fail_sequence(sequence, sampled.faults[at])
                return
            # A guess that came true is a token of the sequence, and computed.
            sequence.num_computed = len(sequence.tokens)
            matcher = sequence.matcher
            advance(
                sequence,
                sampled.token_ids[at],
                sampled.logprobs.get(at),
                ends_grammar=matcher is not None and at == rows[-1] and matcher.is_terminated,
            )
            if sequence.finish_reason is not None:
                break
        if sequence.lane is not None:
            # Nothing is forced: how far a lane is must not depend on what guessing costs now.
            self.planner.teams[sequence.lane.team.team_id].read(sequence)
        elif sequence.matcher is not None:
            self.speculator.force(sequence)
        self._retire(sequence)

    def _retire(self, sequence: Sequence) -> None:
        """Send what is due; a finished sequence gives its blocks back."""
        if sequence.finish_reason is not None:
            self.planner.remove(sequence)
            self.speculator.remember(sequence)
        self._desk.note(sequence)


def _rows(part: Part) -> range:
    start = part.sequence.num_computed
    return wanted_rows(part.sequence, start, start + part.num_tokens)

"""Guesses for the sequences of a Tick, and what becomes of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from collections.abc import Sequence as Seq

import torch

from weft.cache.kv_store import KVStore
from weft.runtime.engine.advance import advance
from weft.runtime.engine.config import EngineConfig
from weft.runtime.engine.memory import SequenceMemory
from weft.runtime.engine.planner import Part, Plan
from weft.runtime.engine.sequence import Sequence
from weft.runtime.engine.speculation import Draft, Drafter, Goodput, Load, Pasts
from weft.runtime.grammar import BatchMasks, Matcher

__all__ = ["Speculator"]

_NOTHING: tuple[int, ...] = ()
_MAX_KNOWN_TEXTS = 4096
_PATIENCE = 8
"""Tokens after which a grammar is taken to force nothing for a while, as inside a string."""


class Speculator:
    """Adds drafts to plans as far as they pay, and keeps what came true. With ``speculation``
    off it does nothing. Owned by the engine's thread.

    Nothing here changes what is drawn: every guess is drawn for as the sequence itself would be,
    and kept only where that gives the same token.
    """

    def __init__(
        self,
        *,
        config: EngineConfig,
        memory: SequenceMemory,
        kv: KVStore,
        masks: BatchMasks,
        encode: Callable[[str], Seq[int]],
        clock: Callable[[], float],
    ) -> None:
        """``encode`` cuts text into tokens as a model would; ``clock`` gives seconds."""
        self._is_on = config.speculation == "auto"
        self._max_batch_tokens = config.max_batch_tokens
        self._memory = memory
        self._kv = kv
        self._masks = masks
        self._encode = encode
        self._clock = clock
        self._goodput = Goodput()
        self._pasts = Pasts()
        self._texts: dict[str, Seq[int]] = {}
        self._load: Load | None = None
        self._is_sparing = False
        self._began_s = 0.0
        self.num_guessed = 0
        self.num_accepted = 0
        self.num_forced = 0

    def begin(self, plan: Plan) -> None:
        """Add to the plan the guesses that pay; reserves their room, without preempting anybody."""
        if not self._is_on or plan.has_glimpses:
            self._load = None
            return
        self._began_s = self._clock()
        load = self._goodput.load(len(plan.parts))
        # A Tick that computes a prompt says nothing about the others: it is no place for trials.
        is_decoding = plan.is_decoding
        if load.takes_guesses and (is_decoding or load.pays):
            self._guess(plan, load)
        self._load = load if is_decoding else None
        self._is_sparing = not load.pays

    def end(self, plan: Plan, num_tokens: int) -> None:
        """Learn what the Tick cost and what it gave: ``num_tokens`` drawn and kept."""
        if self._load is not None:
            self._load.note(plan.num_guesses, num_tokens, self._clock() - self._began_s)

    def verify(self, sequence: Sequence, draft: Draft, drawn: Seq[int]) -> list[int]:
        """The nodes that came true, in order; see ``Drafter.verify``. Their keys and values are
        moved to where they belong in the sequence."""
        assert sequence.drafter is not None, "a draft without a drafter"
        nodes = sequence.drafter.verify(draft, drawn)
        moves = self._memory.keep_guesses(sequence, nodes)
        if moves:
            pairs_T2 = torch.tensor(moves, device=self._kv.layer(0).keys_NHD.device)
            self._kv.move_slots(*pairs_T2.unbind(1))
        self.num_accepted += len(nodes)
        return nodes

    def force(self, sequence: Sequence) -> None:
        """Append the tokens that the grammar leaves no choice about.

        To look costs something too. While guesses do not pay, a grammar that has long forced
        nothing is asked after a few tokens only: what it forces is drawn all the same.
        """
        matcher = sequence.matcher
        # Log-probabilities need the logits, so there every token has its forward.
        if not self._is_on or matcher is None or sequence.row.sampling.logprobs is not None:
            return
        sequence.num_unforced += 1
        if self._is_sparing and sequence.num_unforced > _PATIENCE:
            if sequence.num_unforced % _PATIENCE:
                return
        while not sequence.is_done and (token_id := self._masks.only_token(matcher)) is not None:
            is_accepted = matcher.accept(token_id)
            assert is_accepted, "a grammar refuses the only token that it allows"
            advance(sequence, token_id, ends_grammar=matcher.is_terminated)
            self.num_forced += 1
            sequence.num_unforced = 0

    def remember(self, sequence: Sequence) -> None:
        """Let others guess from what a finished sequence has written."""
        if self._is_on and sequence.num_generated > 1:
            past = self._pasts.of(sequence.job.namespace)
            past.remember(sequence.tokens, sequence.num_prompt)

    def _guess(self, plan: Plan, load: Load) -> None:
        """Of all that can be guessed, take the likeliest as long as they pay."""
        drafts = {
            at: draft for at, part in enumerate(plan.parts) if (draft := self._draft(part, load))
        }
        offers = sorted((-node.chance, at) for at, draft in drafts.items() for node in draft.nodes)
        del offers[max(0, self._max_batch_tokens - plan.num_tokens) :]
        num_guesses = load.choose([-chance for chance, _ in offers], len(plan.parts))
        for at, num_nodes in Counter(at for _, at in offers[:num_guesses]).items():
            draft = drafts[at]
            draft.cut(num_nodes)
            draft.lay_out()
            if self._memory.try_reserve_guesses(plan.parts[at].sequence, num_nodes):
                plan.guess(at, draft)
                self.num_guessed += num_nodes

    def _draft(self, part: Part, load: Load) -> Draft | None:
        """Guesses for a sequence that draws; it alone may draw from its last token."""
        sequence, job = part.sequence, part.sequence.job
        is_alone = job.score_from is None and not job.unforked and not sequence.is_silent
        if not (part.is_last and is_alone and sequence.num_left > 1):
            return None
        if sequence.drafter is None:
            sequence.drafter = Drafter(sequence.tokens, self._pasts.of(job.namespace))
        return sequence.drafter.draft(
            matcher=sequence.matcher,
            forced=self._forced(sequence.matcher),
            barred=job.stop_ids,
            max_depth=sequence.num_left - 1,
            min_chance=load.min_chance,
        )

    def _forced(self, matcher: Matcher | None) -> Seq[int]:
        """The text that must come next as tokens, cut as a model would cut it by itself."""
        text = "" if matcher is None else matcher.find_jump_forward()
        if not text:
            return _NOTHING
        known = self._texts.get(text)
        if known is None:
            if len(self._texts) >= _MAX_KNOWN_TEXTS:
                self._texts.clear()
            known = self._texts[text] = self._encode(text)
        return known

"""Draws a Tick's tokens in agreement with the grammars of their sequences.

Legend: R rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq

import torch

from weft.runtime.engine.draws import Draw, sampling_rows, wanted_logits
from weft.runtime.engine.sampling import Sampled, Sampler
from weft.runtime.engine.speculation import ROOT, Draft, GrammarWalk
from weft.runtime.grammar import BatchMasks, Matcher

__all__ = ["Chooser"]


class Chooser:
    """Chooses one token per row, and moves every grammar on by what was chosen.

    The likeliest token needs no mask where its grammar accepts it: refusing others would not
    change it, and to accept one token costs less than to find all that are allowed. So where
    every row of a Tick takes the likeliest, masks are filled for refused tokens alone; otherwise
    for all rows at once. Owned by the engine's thread.
    """

    def __init__(self, sampler: Sampler, masks: BatchMasks) -> None:
        self._sampler = sampler
        self._masks = masks

    def choose(self, draws: Seq[Draw], logits_RV: torch.Tensor) -> Sampled:
        """Draw for every row of ``draws``, in their order; overwrites the logits.

        Every grammar has then accepted the token drawn for its sequence, and those drawn behind
        guesses that came true; where a row on that way is at fault, those before it.
        """
        wanted = wanted_logits(draws)
        if wanted != list(range(len(logits_RV))):
            logits_RV = logits_RV[wanted]
        rows = sampling_rows(draws)
        if all([draw.sequence.matcher is None for draw in draws]):
            return self._sampler.sample(logits_RV, rows)
        if all([row.is_likeliest for row in rows]):
            sampled = self._sampler.sample(logits_RV, rows)
            self._follow_all(draws, sampled, logits_RV)
        else:
            sampled = self._sampler.sample(logits_RV, rows, self._fill(draws))
            self._follow_all(draws, sampled, None)
        return sampled

    def _fill(self, draws: Seq[Draw]) -> torch.Tensor:
        """What every row may draw; that of a guess as if it came true."""
        matchers: list[Matcher | None] = []
        for draw in draws:
            matchers += [draw.sequence.matcher] + [None] * (draw.num_rows - 1)
        masks_RW = self._masks.fill(matchers)
        row = 0
        for sequence, _, draft in draws:
            row += 1
            if draft is not None and sequence.matcher is not None:
                walk = GrammarWalk(sequence.matcher, draft)
                for node in range(len(draft)):
                    walk.stand(node)
                    masks_RW[row + node] = self._masks.fill_one(sequence.matcher)[0]
                walk.stand(ROOT)
            row += 0 if draft is None else len(draft)
        return masks_RW

    def _follow_all(
        self, draws: Seq[Draw], sampled: Sampled, logits_RV: torch.Tensor | None
    ) -> None:
        """Move the grammars on. With logits, what they refuse is drawn again; without, all was
        drawn under masks."""
        row = 0
        refused: list[int] = []
        refusing: list[Matcher] = []
        for sequence, _, draft in draws:
            matcher = sequence.matcher
            if matcher is not None and draft is not None:
                self._follow(draft, matcher, row, sampled, logits_RV)
            elif matcher is not None and row not in sampled.faults:
                if not matcher.accept(sampled.token_ids[row]):
                    refused.append(row)
                    refusing.append(matcher)
            row += 1 if draft is None else 1 + len(draft)
        if refused:
            self._draw_again(refused, refusing, sampled, logits_RV)

    def _follow(
        self,
        draft: Draft,
        matcher: Matcher,
        row: int,
        sampled: Sampled,
        logits_RV: torch.Tensor | None,
    ) -> None:
        """Through the draft, as far as what is drawn was guessed."""
        node: int | None = ROOT
        while node is not None:
            at = row + 1 + node
            if at in sampled.faults:
                return
            if not matcher.accept(sampled.token_ids[at]):
                self._draw_again([at], [matcher], sampled, logits_RV)
                if at in sampled.faults:
                    return
            node = draft.child(node, sampled.token_ids[at])

    def _draw_again(
        self,
        rows: Seq[int],
        matchers: Seq[Matcher],
        sampled: Sampled,
        logits_RV: torch.Tensor | None,
    ) -> None:
        """The likeliest token that each grammar allows, where it refused the likeliest of all."""
        assert logits_RV is not None, "a grammar refuses a token that its own mask allowed"
        again = self._sampler.take_likeliest(logits_RV[list(rows)], self._masks.fill(matchers))
        for at, (row, matcher) in enumerate(zip(rows, matchers, strict=True)):
            sampled.token_ids[row] = again.token_ids[at]
            if at in again.faults:
                sampled.faults[row] = again.faults[at]
                continue
            is_accepted = matcher.accept(again.token_ids[at])
            assert is_accepted, "a grammar refuses a token that its own mask allowed"

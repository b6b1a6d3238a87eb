"""Draws the next token of every sequence of a Tick at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from weft.errors import GrammarDeadEnd, LogitsInvalid, WeftError
from weft.programs.request import TokenLogprob
from weft.runtime.engine.sampling.device import DeviceLogits
from weft.runtime.engine.sampling.draw import Drawn, draw
from weft.runtime.engine.sampling.edits import apply_edits
from weft.runtime.engine.sampling.filters import apply_filters
from weft.runtime.engine.sampling.host import HostLogits
from weft.runtime.engine.sampling.logits import Best, Float32s, LogitRows
from weft.runtime.engine.sampling.logprobs import RawLogprobs
from weft.runtime.engine.sampling.parameters import BatchParameters
from weft.runtime.engine.sampling.row import SamplingRow
from weft.runtime.engine.sampling.scratch import Scratch
from weft.runtime.engine.sampling.uniforms import uniforms

__all__ = ["Sampled", "Sampler"]

_NO_LOGPROBS: Mapping[int, TokenLogprob] = {}


class Sampled(NamedTuple):
    """The outcome of one Tick, by row."""

    token_ids: list[int]
    """One per row; -1 where ``faults`` says why there is none."""
    logprobs: Mapping[int, TokenLogprob]
    """By row, for rows that asked and have a token."""
    faults: dict[int, WeftError]
    """By row: GrammarDeadEnd when no token was left, LogitsInvalid when the model's own numbers
    cannot be drawn from. The other rows are as if these had not been in the batch."""


class Sampler:
    """Draws tokens; one per engine, used by its thread alone.

    In order: logit biases, the ban on end tokens (``min_tokens``), penalties (repetition, then
    frequency, then presence), grammar mask, temperature, top-k, top-p, min-p. Temperature 0 takes
    the likeliest token after the mask, the smallest id among equals.

    What row r draws depends on its logits, its mask, its parameters, its seed and its position,
    and on nothing else: not on R, not on its neighbours, not on earlier draws.
    """

    def __init__(self, vocab_size: int, device: torch.device | str = "cpu") -> None:
        self._vocab_size = vocab_size
        self._is_host = torch.device(device).type == "cpu"
        self._scratch = Scratch()
        self._batch = BatchParameters((), vocab_size)

    def sample(
        self, logits_RV: Tensor, rows: Sequence[SamplingRow], bitmask: Tensor | None = None
    ) -> Sampled:
        """Draw one token per row.

        ``logits_RV`` is float32, contiguous, and overwritten. ``bitmask`` is int32
        [R, ceil(V/32)], bit i of word w allowing token 32w + i; ``None`` allows everything. The
        rows themselves are not changed: record what is kept with ``SamplingRow.record``.
        """
        if not rows:
            return Sampled([], _NO_LOGPROBS, {})
        if all([row.is_likeliest for row in rows]):
            return self.take_likeliest(logits_RV, bitmask)
        # A faulty row computes with NaN; that stays in its own row and is reported as a fault.
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            return self._sample(self._wrapped(logits_RV), self._parameters_of(rows), bitmask)

    def take_likeliest(self, logits_RV: Tensor, bitmask: Tensor | None = None) -> Sampled:
        """What ``sample`` gives for rows that take the likeliest token and want no more.
        Overwrites the logits where there is a bitmask."""
        logits = self._wrapped(logits_RV)
        raw_best = best = logits.best()
        if bitmask is not None:
            logits.mask(bitmask)
            best = logits.best()
        faults = _faults(raw_best.values_R, best.values_R)
        return _without_faulty(best.ids_R.tolist(), _NO_LOGPROBS, faults)

    def _sample(self, logits: LogitRows, batch: BatchParameters, bitmask: Tensor | None) -> Sampled:
        raw_best = logits.best()
        raw = RawLogprobs(logits, batch) if len(batch.with_logprobs) else None
        best = self._restrict(logits, batch, bitmask, raw_best)
        drawn = self._draw(logits, batch, best)
        faults = _faults(raw_best.values_R, best.values_R)
        logprobs = raw.of(drawn.ids_R, drawn.shares_R) if raw is not None else _NO_LOGPROBS
        return _without_faulty(drawn.ids_R.tolist(), logprobs, faults)

    def _wrapped(self, logits_RV: Tensor) -> LogitRows:
        if self._is_host:
            return HostLogits(logits_RV, self._scratch)
        return DeviceLogits(logits_RV)

    def _parameters_of(self, rows: Sequence[SamplingRow]) -> BatchParameters:
        if not self._batch.fits(rows):
            self._batch = BatchParameters(rows, self._vocab_size)
        return self._batch

    def _restrict(
        self, logits: LogitRows, batch: BatchParameters, bitmask: Tensor | None, raw_best: Best
    ) -> Best:
        """Apply edits and the mask; the best entries afterwards."""
        if not batch.has_edits and bitmask is None:
            return raw_best
        apply_edits(logits, batch)
        if bitmask is not None:
            logits.mask(bitmask)
        return logits.best()

    def _draw(self, logits: LogitRows, batch: BatchParameters, best: Best) -> Drawn:
        certain = Drawn(best.ids_R, np.ones(len(best.ids_R)))
        if batch.is_greedy_R.all():
            return certain
        logits.exponentiate(best.values_R, batch.temperature_R if batch.has_temperature else None)
        apply_filters(logits, batch, self._vocab_size)
        drawn = draw(logits, uniforms(batch.seeds_R, batch.positions_R))
        return Drawn(
            np.where(batch.is_greedy_R, certain.ids_R, drawn.ids_R),
            np.where(batch.is_greedy_R, 1.0, drawn.shares_R),
        )


def _faults(raw_best_R: Float32s, best_R: Float32s) -> dict[int, WeftError]:
    if np.isfinite(raw_best_R).all() and (best_R is raw_best_R or np.isfinite(best_R).all()):
        return {}
    faults: dict[int, WeftError] = {}
    for row in np.flatnonzero(~np.isfinite(best_R)).tolist():
        faults[row] = GrammarDeadEnd(
            "No token is allowed to come next.",
            remedy="The grammar and the tokens banned leave nothing; relax one of them.",
        )
    for row in np.flatnonzero(~np.isfinite(raw_best_R)).tolist():
        faults[row] = LogitsInvalid(
            f"The model's largest logit is {float(raw_best_R[row])!r}.",
            remedy="Check the weights and the number format; other sequences are not affected.",
        )
    return faults


def _without_faulty(
    token_ids: list[int], logprobs: Mapping[int, TokenLogprob], faults: dict[int, WeftError]
) -> Sampled:
    for row in faults:
        token_ids[row] = -1
    if faults and logprobs:
        logprobs = {row: logprob for row, logprob in logprobs.items() if row not in faults}
    return Sampled(token_ids, logprobs, faults)

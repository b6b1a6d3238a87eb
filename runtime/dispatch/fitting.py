"""What work costs on an engine, from what it did while it served."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from weft.errors import InvalidRequest
from weft.runtime.engine.protocol import EngineStats
from weft.runtime.scheduler import Costs

__all__ = ["Work", "fit_costs"]

NUM_SWEEPS = 2000
"""More than coordinate descent needs for four unknowns."""
START_TICKS = 2.0
"""Taken, not fitted: a call comes right behind the Tick that ended the one before it, so it sits
through the one that has begun without it, and through that with the last of its prompt."""


class Work(NamedTuple):
    """Of an engine in some span of time."""

    busy_s: float
    num_ticks: int
    num_decoded: int
    num_prefilled: int
    num_read: int
    """Tokens of context that those which were decoded looked at."""
    num_generated: int
    """Tokens that came of it: of every prompt one, of every other Tick one and its guesses."""

    @classmethod
    def between(cls, before: EngineStats, after: EngineStats) -> Work:
        return cls(
            after.busy_s - before.busy_s,
            after.num_ticks - before.num_ticks,
            after.num_decoded_tokens - before.num_decoded_tokens,
            after.num_prefilled_tokens - before.num_prefilled_tokens,
            after.num_read_tokens - before.num_read_tokens,
            after.num_generated_tokens - before.num_generated_tokens,
        )


def fit_costs(spans: Sequence[Work], base: Costs) -> Costs:
    """The costs by which these spans come nearest to the time that they took.

    Least squares over the spans, none of the costs negative (by coordinate descent on the normal
    equations). Copies cost what ``base`` says; what prompts look at is part of what they cost.

    Raises: InvalidRequest without any span in which something was done.
    """
    rows = [tuple(float(part) for part in span[1:5]) for span in spans]
    scales = [max((row[i] for row in rows), default=0.0) or 1.0 for i in range(4)]
    if not any(any(row) for row in rows):
        raise InvalidRequest("There is no work to fit costs to.", remedy="Let the engine serve.")
    scaled = [[part / scale for part, scale in zip(row, scales, strict=True)] for row in rows]
    products = [[sum(row[i] * row[j] for row in scaled) for j in range(4)] for i in range(4)]
    goals = [
        sum(row[i] * span.busy_s for row, span in zip(scaled, spans, strict=True)) for i in range(4)
    ]
    found = _descend(products, goals)
    tick_s, decode_s, prefill_s, read_s = (
        value / scale for value, scale in zip(found, scales, strict=True)
    )
    num_decoded = sum(span.num_decoded for span in spans)
    num_generated = sum(span.num_generated for span in spans)
    return replace(
        base,
        tick_s=tick_s,
        decode_s=decode_s,
        prefill_s=prefill_s,
        context_s=0.0,
        read_s=read_s,
        tokens_per_tick=max(1.0, num_generated / num_decoded) if num_decoded else 1.0,
        start_ticks=START_TICKS,
    )


def _descend(products: Sequence[Sequence[float]], goals: Sequence[float]) -> list[float]:
    """Minimise x'Px / 2 - g'x over x >= 0, one coordinate after the other."""
    found = [0.0] * len(goals)
    for _ in range(NUM_SWEEPS):
        for i, goal in enumerate(goals):
            if products[i][i] > 0:
                rest = sum(products[i][j] * found[j] for j in range(len(goals)) if j != i)
                found[i] = max(0.0, (goal - rest) / products[i][i])
    return found

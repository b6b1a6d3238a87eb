"""What a simulation comes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from weft.runtime.scheduler.simulator.script import Script

__all__ = ["Outcome", "Report", "Tally", "jain_index"]


@dataclass(slots=True, kw_only=True)
class Tally:
    """Counts over all programs."""

    num_steps: int = 0
    prompt_tokens: int = 0
    held_tokens: int = 0
    """Of the prompts, those whose KV was there."""
    recomputed_tokens: int = 0
    """Computed before and given up since, for a prompt or ahead of one."""


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What became of one program."""

    script: Script
    num_steps: int = 0
    service_tokens: int = 0
    waits_s: list[float] = field(default_factory=list[float])
    ended_s: float | None = None
    """None: it had not ended."""
    is_refused: bool = False


class Report(NamedTuple):
    """Figures of one simulation; waits are from a call's asking to its dispatch."""

    seconds: float
    num_ended: int
    steps_per_minute: float
    mean_wait_s: float
    p99_wait_s: float
    worst_wait_s: float
    recomputed_tokens: int
    hit_rate: float
    """Of the tokens of all prompts, the share that was held."""
    busy: float
    """Share of the time in which a replica computed."""
    jain_of_tenants: float
    """Of the mean progress of tenants' programs: 1 where all are alike."""
    in_deadline: float
    """Share of the programs with a deadline that met it; 1 without any."""

    @classmethod
    def of(cls, outcomes: Sequence[Outcome], tally: Tally, seconds: float, busy_s: float) -> Report:
        waits_s = sorted(wait_s for one in outcomes for wait_s in one.waits_s) or [0.0]
        return cls(
            seconds=seconds,
            num_ended=sum(one.ended_s is not None for one in outcomes),
            steps_per_minute=60 * tally.num_steps / seconds if seconds else 0.0,
            mean_wait_s=sum(waits_s) / len(waits_s),
            p99_wait_s=waits_s[min(len(waits_s) - 1, len(waits_s) * 99 // 100)],
            worst_wait_s=waits_s[-1],
            recomputed_tokens=tally.recomputed_tokens,
            hit_rate=tally.held_tokens / max(1, tally.prompt_tokens),
            busy=busy_s / seconds if seconds else 0.0,
            jain_of_tenants=jain_index(_progress_of_tenants(outcomes, seconds)),
            in_deadline=_share_in_deadline(outcomes),
        )


def jain_index(values: Sequence[float]) -> float:
    """(sum x)^2 / (n * sum x^2), of 1 / n up to 1 (Jain, Chiu and Hawe, 1984)."""
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 1.0


def _progress_of_tenants(outcomes: Sequence[Outcome], seconds: float) -> list[float]:
    """Steps per second that a tenant's programs are there, from arrival to end."""
    steps: dict[str, float] = {}
    present_s: dict[str, float] = {}
    for one in outcomes:
        tenant, ended_s = one.script.tenant, seconds if one.ended_s is None else one.ended_s
        steps[tenant] = steps.get(tenant, 0.0) + one.num_steps
        span_s = max(0.0, ended_s - one.script.arrives_s)
        present_s[tenant] = present_s.get(tenant, 0.0) + span_s
    return [steps[tenant] / present_s[tenant] for tenant in steps if present_s[tenant]]


def _share_in_deadline(outcomes: Sequence[Outcome]) -> float:
    met = [
        one.ended_s is not None and one.ended_s <= one.script.deadline_s
        for one in outcomes
        if one.script.deadline_s is not None
    ]
    return sum(met) / len(met) if met else 1.0

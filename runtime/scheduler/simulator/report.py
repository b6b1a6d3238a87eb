"""What a simulation comes to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from weft.runtime.scheduler.simulator.script import Script
from weft.runtime.scheduler.simulator.storage import Work

__all__ = ["Outcome", "Report", "Tally", "jain_index"]


class Tally:
    """Counts over all programs."""

    __slots__ = (
        "held_tokens",
        "loaded_tokens",
        "num_steps",
        "prompt_tokens",
        "recomputed_tokens",
        "waits_s",
    )

    def __init__(self) -> None:
        self.num_steps = 0
        self.prompt_tokens = 0
        self.held_tokens = 0
        """Of the prompts, those whose KV was there."""
        self.recomputed_tokens = 0
        """Computed before and given up since, for a prompt or ahead of one."""
        self.loaded_tokens = 0
        """Read back from where they had been demoted to."""
        self.waits_s: list[float] = []

    def bring(self, work: Work, num_tokens: int) -> None:
        """So much of a context that was there before is there now."""
        self.loaded_tokens += work.loaded_tokens
        self.recomputed_tokens += num_tokens - work.held_tokens - work.loaded_tokens


class Outcome:
    """What became of one program."""

    __slots__ = (
        "arrived_s",
        "duty",
        "ended_s",
        "is_refused",
        "num_steps",
        "script",
        "service_s",
    )

    def __init__(
        self,
        *,
        script: Script,
    ) -> None:
        self.script = script
        self.arrived_s = float("inf")
        self.num_steps = 0
        self.duty = 0.0
        """The share of its time that it would be served if it were alone."""
        self.service_s = 0.0
        """What its answered calls take of a replica alone, if nothing is computed again."""
        self.ended_s: float | None = None
        """None: it had not ended."""
        self.is_refused = False


class Report(NamedTuple):
    """Figures of one simulation; waits are from a call's asking to its dispatch, or to the end."""

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
    """Of service over the fair share: 1 where every tenant has what it asks, or as much as the
    others who have less than they ask."""
    in_deadline: float
    """Share of the programs with a deadline that met it; 1 without any."""
    loaded_tokens: int = 0

    @classmethod
    def of(
        cls,
        outcomes: Sequence[Outcome],
        tally: Tally,
        since_s: float,
        until_s: float,
        busy_s: float,
    ) -> Report:
        seconds = until_s - since_s
        waits_s = sorted(tally.waits_s) or [0.0]
        return cls(
            seconds=seconds,
            num_ended=sum(one.ended_s is not None and not one.is_refused for one in outcomes),
            steps_per_minute=60 * tally.num_steps / seconds if seconds else 0.0,
            mean_wait_s=sum(waits_s) / len(waits_s),
            p99_wait_s=waits_s[min(len(waits_s) - 1, len(waits_s) * 99 // 100)],
            worst_wait_s=waits_s[-1],
            recomputed_tokens=tally.recomputed_tokens,
            hit_rate=tally.held_tokens / max(1, tally.prompt_tokens),
            busy=busy_s / seconds if seconds else 0.0,
            jain_of_tenants=jain_index(_shares_of_tenants(outcomes, since_s, until_s)),
            in_deadline=_share_in_deadline(outcomes),
            loaded_tokens=tally.loaded_tokens,
        )


def jain_index(values: Sequence[float]) -> float:
    """(sum x)^2 / (n * sum x^2), of 1 / n up to 1 (Jain, Chiu and Hawe, 1984)."""
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 1.0


def fair_level(demands: Sequence[float], supply: float) -> float:
    """The max-min fair share: who asks for less gets it, all others get this."""
    left = supply
    for number, demand in enumerate(sorted(demands)):
        level = left / (len(demands) - number)
        if demand >= level:
            return level
        left -= demand
    return float("inf")


def _shares_of_tenants(
    outcomes: Sequence[Outcome], since_s: float, until_s: float
) -> Sequence[float]:
    """Service over the max-min fair share, for every tenant that was there."""
    service_s: dict[str, float] = {}
    demand_s: dict[str, float] = {}
    for one in outcomes:
        ended_s = until_s if one.ended_s is None else one.ended_s
        present_s = ended_s - max(since_s, one.arrived_s)
        if present_s > 0:
            tenant = one.script.tenant
            asked_s = present_s * one.duty
            service_s[tenant] = service_s.get(tenant, 0.0) + one.service_s
            demand_s[tenant] = demand_s.get(tenant, 0.0) + asked_s
    level = fair_level(list(demand_s.values()), sum(service_s.values()))
    shares = {tenant: min(level, asked_s) for tenant, asked_s in demand_s.items()}
    return [service_s[tenant] / share for tenant, share in shares.items() if share > 0]


def _share_in_deadline(outcomes: Sequence[Outcome]) -> float:
    met = [
        one.ended_s is not None
        and one.ended_s - one.arrived_s <= one.script.deadline_s - one.script.arrives_s
        for one in outcomes
        if one.script.deadline_s is not None
    ]
    return sum(met) / len(met) if met else 1.0

"""Policies × oversubscription × seeds, and options of a policy tuned by simulation."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from weft.errors import InvalidRequest
from weft.runtime.scheduler.costs import Costs
from weft.runtime.scheduler.facts import ReplicaSized
from weft.runtime.scheduler.policies import CapPolicy, make_policy, policy_names
from weft.runtime.scheduler.policy import SchedulingPolicy
from weft.runtime.scheduler.scheduler import Scheduler
from weft.runtime.scheduler.simulator.report import Report
from weft.runtime.scheduler.simulator.script import Script
from weft.runtime.scheduler.simulator.workload import concurrency_for
from weft.runtime.scheduler.simulator.world import simulate

__all__ = ["Arm", "Cell", "Tuned", "best_other", "default_arms", "sweep", "tune"]

Arm = Callable[[Costs], SchedulingPolicy]
"""Makes a new policy: one that has decided has learnt."""


class Cell(NamedTuple):
    """One simulation of a sweep."""

    arm: str
    oversubscription: float
    seed: int
    concurrency: int
    report: Report


class Tuned(NamedTuple):
    """The best of some options, and what every one of them came to, best first."""

    best: str
    scores: Mapping[str, float]


def default_arms(*, best_cap: int | None = None) -> dict[str, Arm]:
    """Every policy as it is, by name; ``cap`` with the given number of programs."""
    arms: dict[str, Arm] = {name: _named(name) for name in policy_names()}
    if best_cap is not None:
        arms["cap"] = lambda costs: CapPolicy(costs, max_programs=best_cap)
    return arms


def sweep(
    arms: Mapping[str, Arm],
    draw: Callable[[int], Sequence[Script]],
    replicas: Sequence[ReplicaSized],
    *,
    oversubscriptions: Iterable[float],
    seeds: Iterable[int],
    costs: Costs | None = None,
) -> tuple[Cell, ...]:
    """Simulate every arm at every load and seed, all on the same programs, in a closed loop.

    Blocks for as long as it computes; equal arguments give equal cells.
    """
    costs = costs or Costs()
    cells: list[Cell] = []
    seeds = tuple(seeds)
    for over in oversubscriptions:
        for seed in seeds:
            scripts = draw(seed)
            concurrency = concurrency_for(scripts, replicas, over)
            for name, arm in arms.items():
                report = simulate(Scheduler(arm(costs)), scripts, replicas, concurrency=concurrency)
                cells.append(Cell(name, over, seed, concurrency, report))
    return tuple(cells)


def best_other(cells: Iterable[Cell], arm: str = "weft") -> dict[float, tuple[str, float]]:
    """For every load the other arm with most steps per minute, and the arm's steps per minute over
    its: the median over seeds."""
    rates: dict[float, dict[str, dict[int, float]]] = {}
    for cell in cells:
        by_arm = rates.setdefault(cell.oversubscription, {})
        by_arm.setdefault(cell.arm, {})[cell.seed] = cell.report.steps_per_minute
    found: dict[float, tuple[str, float]] = {}
    for over, by_arm in rates.items():
        own = by_arm.pop(arm)
        best = max(by_arm, key=lambda name: statistics.mean(by_arm[name].values()))
        ratios = [own[seed] / rate if rate else float("inf") for seed, rate in by_arm[best].items()]
        found[over] = best, statistics.median(ratios)
    return found


def tune(
    arms: Mapping[str, Arm],
    draw: Callable[[int], Sequence[Script]],
    replicas: Sequence[ReplicaSized],
    *,
    oversubscription: float,
    seeds: Sequence[int],
    costs: Costs | None = None,
    score: Callable[[Report], float] = lambda report: report.steps_per_minute,
) -> Tuned:
    """The arm with the greatest mean score, by successive halving (Jamieson and Talwalkar, 2016).

    All arms are simulated with the first seed, the better half with the next, and so on; means are
    over the seeds that an arm was simulated with.
    """
    if not arms or not seeds:
        raise InvalidRequest("There is nothing to tune.", remedy="Give options and seeds.")
    scores: dict[str, list[float]] = {name: [] for name in arms}
    left = list(arms)
    for seed in seeds:
        cells = sweep(
            {name: arms[name] for name in left},
            draw,
            replicas,
            oversubscriptions=[oversubscription],
            seeds=[seed],
            costs=costs,
        )
        for cell in cells:
            scores[cell.arm].append(score(cell.report))
        left.sort(key=lambda name: -statistics.mean(scores[name]))
        left = left[: max(1, (len(left) + 1) // 2)]
    order = sorted(scores, key=lambda name: (-len(scores[name]), -statistics.mean(scores[name])))
    return Tuned(order[0], {name: statistics.mean(scores[name]) for name in order})


def _named(name: str) -> Arm:
    return lambda costs: make_policy(name, costs)

"""Sweeps and tuning on what takes no time to simulate."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from weft.errors import InvalidRequest
from weft.runtime.scheduler import Costs, ReplicaSized, make_policy
from weft.runtime.scheduler.policies import CapPolicy
from weft.runtime.scheduler.simulator import (
    AgentWorkload,
    Arm,
    Script,
    best_other,
    concurrency_for,
    default_arms,
    sweep,
    tune,
)

REPLICAS = [ReplicaSized(0.0, "r", 4_000, 8)]


def draw(seed: int) -> Sequence[Script]:
    return AgentWorkload(
        num_programs=40,
        programs_per_s=1.0,
        scale=0.1,
        turns_p50=2.0,
        turns_p90=3.0,
        num_prefixes=1,
        num_tenants=1,
    ).draw(seed)


def capped(max_programs: int) -> Arm:
    return lambda costs: CapPolicy(costs, max_programs=max_programs)


def test_every_arm_meets_the_same_programs_at_every_load_and_seed() -> None:
    arms: dict[str, Arm] = {"weft": lambda costs: make_policy("weft", costs), "cap": capped(1)}
    cells = sweep(arms, draw, REPLICAS, oversubscriptions=[1.0, 2.0], seeds=[1, 2])
    at = [(cell.oversubscription, cell.seed, cell.arm) for cell in cells]
    assert at == [(load, seed, arm) for load in (1.0, 2.0) for seed in (1, 2) for arm in arms]
    for cell in cells:
        assert cell.concurrency == concurrency_for(draw(cell.seed), REPLICAS, cell.oversubscription)
    assert cells == sweep(arms, draw, REPLICAS, oversubscriptions=[1.0, 2.0], seeds=[1, 2])
    assert set(best_other(cells)) == {1.0, 2.0} and best_other(cells)[2.0][0] == "cap"


def test_twice_the_load_is_twice_the_programs() -> None:
    scripts = draw(1)
    shared = sum({script.shared_prefix: script.prefix_tokens for script in scripts}.values())
    once, twice = (concurrency_for(scripts, REPLICAS, load) for load in (1.0, 2.0))
    extra = 4_000 / (4_000 - shared)
    assert twice == pytest.approx(once * (1 + extra), abs=2)


def test_tuning_finds_the_cap_that_lets_programs_in() -> None:
    tuned = tune(
        {str(cap): capped(cap) for cap in (1, 2, 6)},
        draw,
        REPLICAS,
        oversubscription=1.0,
        seeds=[1, 2],
        costs=Costs(),
    )
    assert tuned.best == "6" and set(tuned.scores) == {"1", "2", "6"}
    with pytest.raises(InvalidRequest, match="nothing to tune"):
        tune({}, draw, REPLICAS, oversubscription=1.0, seeds=[1])


def test_default_arms_are_all_policies() -> None:
    assert {arm(Costs()).name for arm in default_arms(best_cap=3).values()} == set(default_arms())

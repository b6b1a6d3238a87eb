"""The ways to serve agents that ``weft bench agentic`` compares, and what each comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from weft.runtime.bench.agent_script import AgentScript
from weft.runtime.scheduler.simulator import jain_index

__all__ = [
    "KV_TOKENS",
    "OBJECTIVE_S",
    "OFFLOADING",
    "OURS",
    "PATIENCE_S",
    "PEER",
    "PLAIN",
    "ROOMY",
    "SIMULATED",
    "SPILLING",
    "TIME_SCALE",
    "Arm",
    "Outcome",
    "arms_for",
]

KV_TOKENS = 32_768
TIME_SCALE = 1 / 330
"""Of tools, and of all times that policies are given: the model is that much faster, roughly, than
those that the traces were taken with."""
OBJECTIVE_S = 30.0 * TIME_SCALE
"""To the first token."""
PATIENCE_S = 30.0 * TIME_SCALE
SWEEP_S, LONGEST_WAIT_S = 5.0 * TIME_SCALE, 1800.0 * TIME_SCALE
CAPS = (0.75, 1.0, 1.25)
"""Programs at once, as shares of those whose KV fits."""
OURS, PLAIN, SPILLING, PEER = "weft", "plain", "weft+tier", "langgraph+vllm"
OFFLOADING = "fcfs+tier"
"""What a tier wins without a policy that knows programs."""
ROOMY = "roomy"
"""fcfs where all KV fits: the engine without any need to give KV up."""
SPILL_SHARE, ROOMY_SHARE = 4, 8
"""The tier outside the KV pool, and the roomy pool, in sizes of the pool."""
SIMULATED = ("weft", "fcfs")
"""Arms that the simulator is held against."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One way to serve the programs."""

    name: str
    policy: str
    options: Mapping[str, float]
    spill_tokens: int = 0
    pools: int = 1


class Outcome(NamedTuple):
    """Of one arm in one round."""

    steps_per_minute: float
    goodput: float
    """Steps per minute, but only those whose first token came within the objective."""
    p50_s: float
    p99_s: float
    worst_s: float
    """To the first token."""
    hit_rate: float
    recomputed_per_step: float
    """Tokens of prompts that were computed and not new."""
    mean_batch: float
    jain: float
    stolen: float
    """The share of the processor time that others on the host took."""
    ended: frozenset[str]
    steps: Mapping[str, int]

    @classmethod
    def of(cls, found: Mapping[str, Any], scripts: Mapping[str, AgentScript]) -> Outcome:
        minutes = found["seconds"] / 60
        steps: dict[str, int] = found["steps"]
        waits_s = sorted(found["first_token_s"]) or [0.0]
        num_steps = sum(steps.values())
        num_prompt = found.get("num_prompt_tokens", 0)
        num_computed = num_prompt - found.get("num_cached_tokens", 0)
        num_new = found.get("num_new_tokens", 0)
        by_tenant: dict[str, int] = {}
        for name, num in steps.items():
            tenant = scripts[name].tenant
            by_tenant[tenant] = by_tenant.get(tenant, 0) + num
        in_time = sum(wait_s <= OBJECTIVE_S for wait_s in waits_s) / len(waits_s)
        return cls(
            steps_per_minute=num_steps / minutes,
            goodput=in_time * num_steps / minutes,
            p50_s=waits_s[len(waits_s) // 2],
            p99_s=waits_s[min(len(waits_s) - 1, len(waits_s) * 99 // 100)],
            worst_s=waits_s[-1],
            hit_rate=1 - num_computed / num_prompt if num_prompt else 0.0,
            recomputed_per_step=max(0.0, num_computed - num_new) / max(1, num_steps),
            mean_batch=found.get("num_generated_tokens", 0) / max(1, found.get("num_ticks", 0)),
            jain=jain_index(list(by_tenant.values())),
            stolen=found.get("stolen", 0.0),
            ended=frozenset(found["ended"]),
            steps=steps,
        )


def arms_for(num_fitting: int, *, with_roomy: bool = False) -> list[Arm]:
    """weft and fcfs, with and without a tier, and the others: as published, times scaled."""
    patience = {"patience_s": PATIENCE_S}
    sweeps = {"sweep_s": SWEEP_S, "longest_wait_s": LONGEST_WAIT_S}
    tier = SPILL_SHARE * KV_TOKENS
    caps = {share: max(1, round(share * num_fitting)) for share in CAPS}
    arms = [
        Arm(name=OURS, policy="weft", options=patience),
        Arm(name=SPILLING, policy="weft", options=patience, spill_tokens=tier),
        Arm(name="fcfs", policy="fcfs", options={}),
        Arm(name=OFFLOADING, policy="fcfs", options={"demotes": True}, spill_tokens=tier),
        Arm(name="ttl", policy="ttl", options={}),
        Arm(name="pause", policy="pause", options=sweeps),
        Arm(name=PLAIN, policy=PLAIN, options={}),
        *(
            Arm(name=f"cap{share:g}", policy="cap", options={"max_programs": cap})
            for share, cap in caps.items()
        ),
    ]
    roomy = Arm(name=ROOMY, policy="fcfs", options={}, pools=ROOMY_SHARE)
    return [*arms, roomy] if with_roomy else arms

"""``weft bench agentic``: agents that share one engine, by how they are scheduled."""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from weft.errors import PeerFailed
from weft.runtime.bench.agent_script import (
    AgentScript,
    as_scripts,
    in_midst,
    in_time,
    mean_context,
)
from weft.runtime.bench.checkpoint import MINI_LIKE, write_checkpoint
from weft.runtime.bench.contender import own_environment, vllm_environment
from weft.runtime.bench.deadlines import measure_deadlines
from weft.runtime.bench.driver import Driver
from weft.runtime.bench.findings import Findings
from weft.runtime.bench.options import BenchOptions
from weft.runtime.bench.peers import find_peer
from weft.runtime.dispatch import Work, fit_costs
from weft.runtime.machine import has_native_bf16
from weft.runtime.scheduler import Costs, ReplicaSized, Scheduler, make_policy
from weft.runtime.scheduler.simulator import AgentWorkload, Script, jain_index, simulate

__all__ = ["Arm", "Outcome", "arms_for", "bench_agentic", "measure_levels"]

LEVELS = (0.5, 1.0, 1.5, 2.0, 3.0)
"""KV that the open programs hold on average, over what fits."""
PEER_LEVEL = 2.0
KV_TOKENS = 32_768
MAX_RUNNING = 256
TOKEN_SCALE = 1 / 14
"""Published contexts of some 30,000 tokens come to some 2,000."""
TIME_SCALE = 1 / 330
"""Of tools, and of all times that policies are given: the model is that much faster, roughly, than
those that the traces were taken with."""
SIMULATED = ("weft", "fcfs")
"""Arms that the simulator is held against."""
OBJECTIVE_S = 30.0 * TIME_SCALE
"""To the first token."""
PATIENCE_S = 30.0 * TIME_SCALE
SWEEP_S, LONGEST_WAIT_S = 5.0 * TIME_SCALE, 1800.0 * TIME_SCALE
SECONDS, WARM_S = 8.0, 5.0
NUM_PROGRAMS = 3000
DEFAULT_ROUNDS = 3
CAPS = (0.75, 1.0, 1.25)
"""Programs at once, as shares of those whose KV fits."""
OURS, PLAIN, SPILLING, PEER = "weft", "plain", "weft+tier", "langgraph+vllm"
ROOMY = "roomy"
"""fcfs where all KV fits: what no scheduling of this engine can exceed by much."""
SPILL_SHARE, ROOMY_SHARE = 4, 8
"""The tier outside the KV pool, and the roomy pool, in sizes of the pool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One way to serve the programs."""

    name: str
    policy: str
    options: Mapping[str, float]
    spill_tokens: int = 0
    pools: int = 1

    @property
    def kind(self) -> str:
        """Caps are one kind, of which the best counts."""
        return self.policy if self.policy == "cap" else self.name


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
            ended=frozenset(found["ended"]),
            steps=steps,
        )


def bench_agentic(options: BenchOptions) -> Findings:
    """Figures ``vs_best_other_x…``: weft's steps per minute over those of the best other arm of
    ours, by how many times the KV of the open programs is what fits; ``weft_tier_vs_best_other_x…``
    the same with a tier in host memory, four times the pool. ``ceiling_vs_best_other_x…``: of an
    engine whose pool holds all that is open, from twice what fits on; nothing that schedules
    programs on a smaller pool can win more than that. ``vs_vllm_langgraph_x2``: over LangGraph
    programs on vLLM's server with as much KV. ``p99_wait_vs_fcfs_x2``: of the time to
    the first token, below 1 weft is better. ``jain``: fairness over four tenants at x2.
    ``deadline_gain``: see ``measure_deadlines``.
    ``simulated_weft_x…``, ``simulated_fcfs_x…``: steps per minute in the simulator, of the same
    programs in the same span of time, over those on the engine; its costs are fitted to what the
    engine did in the round's other arms.

    Programs are shaped by published traces of coding agents, tokens and times scaled to a model of
    4.2M parameters; a closed loop keeps as many open as the level says. A cap counts at the best
    of its settings.
    """
    findings = Findings()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "agentic"
        write_checkpoint(folder, MINI_LIKE, seed=options.seed)
        driver = Driver(
            Path(sys.executable), "weft_agentic_driver.py", peer=OURS, env=own_environment()
        )
        stack.enter_context(driver)
        token_bytes = 2 * MINI_LIKE.num_layers * MINI_LIKE.num_kv_heads * MINI_LIKE.head_dim * 2
        loaded = driver.call(
            "load",
            model=str(folder),
            kv_bytes=(KV_TOKENS + 16) * token_bytes,
            max_running=MAX_RUNNING,
        )
        findings.rows.append({"what": "costs", **loaded["costs"]})
        peer = _open_peer(stack, options, folder, loaded, findings)
        measure_levels(driver, peer, options, findings, token_bytes=token_bytes)
        measure_deadlines(
            driver,
            options,
            findings,
            time_scale=TIME_SCALE,
            patience_s=PATIENCE_S,
            num_rounds=options.num_rounds or DEFAULT_ROUNDS,
        )
    return findings


def measure_levels(
    driver: Driver,
    peer: Driver | None,
    options: BenchOptions,
    findings: Findings,
    *,
    token_bytes: int,
    levels: Sequence[float] = LEVELS,
    seconds: float = SECONDS,
    warm_s: float = WARM_S,
) -> None:
    """Every level with the arms in turns, round by round, each round with programs of its own."""
    num_rounds = options.num_rounds or DEFAULT_ROUNDS
    for level in levels:
        rounds: list[dict[str, Outcome]] = []
        simulated: dict[str, list[float]] = {policy: [] for policy in SIMULATED}
        for number in range(num_rounds):
            seed = options.seed * 1000 + number
            drawn = _draw(seed)
            num_open = max(1, round(level * KV_TOKENS / mean_context(as_scripts(drawn))))
            drawn = in_midst(drawn, num_open, seed)
            scripts = as_scripts(drawn)
            asked = {
                "scripts": [script.to_json() for script in scripts],
                "num_open": num_open,
                "warm_s": warm_s,
                "seconds": seconds,
            }
            arms = arms_for(round(num_open / level), with_roomy=level >= PEER_LEVEL)
            found: dict[str, Outcome] = {}
            work: list[Work] = []
            by_name = {script.name: script for script in scripts}
            for arm in arms if number % 2 == 0 else reversed(arms):
                options.say(f"agentic: {level:g} times what fits, round {number + 1}, {arm.name}")
                result = driver.call(
                    "run",
                    policy=arm.policy,
                    options=dict(arm.options),
                    spill_bytes=arm.spill_tokens * token_bytes,
                    pools=arm.pools,
                    timeout_s=120.0 + seconds,
                    **asked,
                )
                found[arm.name] = Outcome.of(result, by_name)
                if arm.name not in SIMULATED:
                    work += [Work(*span) for span in result["work"]]
            if peer is not None and level == PEER_LEVEL:
                options.say(f"agentic: {level:g} times what fits, round {number + 1}, {PEER}")
                try:
                    result = peer.call("run", timeout_s=120.0 + seconds, **asked)
                    found[PEER] = Outcome.of(result, by_name)
                except PeerFailed as error:
                    findings.missing.append(f"{PEER}: {error}")
                    peer = None
            rounds.append(found)
            costs = fit_costs(work, Costs(**driver.call("costs")))
            findings.rows.append(
                {"what": "costs", "level": level, "round": number, **asdict(costs)}
            )
            for arm in arms:
                if arm.name in SIMULATED:
                    rate = _simulate(arm, drawn, num_open, costs, warm_s, seconds)
                    simulated[arm.name].append(rate / _rate(found, arm.name))
            _note_rows(findings, level, number, num_open, found)
        _note_level(findings, level, rounds, num_rounds)
        for name, ratios in simulated.items():
            _note_median(findings, f"simulated_{name}_x{level:g}", ratios, num_rounds)


def arms_for(num_fitting: int, *, with_roomy: bool = False) -> list[Arm]:
    """weft, with and without a tier, and the others: as they are published, times scaled."""
    patience = {"patience_s": PATIENCE_S}
    sweeps = {"sweep_s": SWEEP_S, "longest_wait_s": LONGEST_WAIT_S}
    tier = SPILL_SHARE * KV_TOKENS
    caps = sorted({max(1, round(share * num_fitting)) for share in CAPS})
    arms = [
        Arm(name=OURS, policy="weft", options=patience),
        Arm(name=SPILLING, policy="weft", options=patience, spill_tokens=tier),
        Arm(name="fcfs", policy="fcfs", options={}),
        Arm(name="ttl", policy="ttl", options={}),
        Arm(name="pause", policy="pause", options=sweeps),
        Arm(name=PLAIN, policy=PLAIN, options={}),
        *(Arm(name=f"cap{cap}", policy="cap", options={"max_programs": cap}) for cap in caps),
    ]
    roomy = Arm(name=ROOMY, policy="fcfs", options={}, pools=ROOMY_SHARE)
    return [*arms, roomy] if with_roomy else arms


def _draw(seed: int) -> list[Script]:
    workload = AgentWorkload(
        num_programs=NUM_PROGRAMS, programs_per_s=1.0, scale=TOKEN_SCALE, longest_context=50_000
    )
    fitting = [one for one in workload.draw(seed) if _size(one) < MINI_LIKE.max_context]
    return [in_time(script, TIME_SCALE) for script in fitting]


def _size(script: Script) -> int:
    """Of its last context."""
    read = sum(step.new_tokens + step.output_tokens for step in script.steps)
    return script.prefix_tokens + read


def _simulate(
    arm: Arm,
    drawn: Sequence[Script],
    num_open: int,
    costs: Costs,
    warm_s: float,
    seconds: float,
) -> float:
    """Steps per minute in the simulator, of the same programs in the same span of time."""
    replica = ReplicaSized(0.0, "0", KV_TOKENS, MAX_RUNNING, arm.spill_tokens)
    scheduler = Scheduler(make_policy(arm.policy, costs, **arm.options))
    report = simulate(
        scheduler,
        drawn,
        [replica],
        concurrency=num_open,
        since_s=warm_s,
        until_s=warm_s + seconds,
    )
    return report.steps_per_minute


def _note_rows(
    findings: Findings, level: float, number: int, num_open: int, found: Mapping[str, Outcome]
) -> None:
    first, *others = (one.ended for one in found.values())
    common = first.intersection(*others)
    for name, one in found.items():
        measured = {
            key: value for key, value in one._asdict().items() if isinstance(value, int | float)
        }
        findings.rows.append(
            {
                "level": level,
                "round": number,
                "arm": name,
                "num_open": num_open,
                **measured,
                "num_ended": len(one.ended),
                "num_common_ended": len(common),
                "common_steps": sum(one.steps.get(program, 0) for program in common),
            }
        )


def _note_level(
    findings: Findings, level: float, rounds: Sequence[Mapping[str, Outcome]], num_asked: int
) -> None:
    def note(name: str, values: Sequence[float], peer: str = "") -> None:
        _note_median(findings, name, values, num_asked, peer)

    at = f"x{level:g}"
    best = [_best_other(found) for found in rounds]
    note(
        f"vs_best_other_{at}",
        [_rate(found, OURS) / other for found, other in zip(rounds, best, strict=True)],
    )
    note(
        f"weft_tier_vs_best_other_{at}",
        [_rate(found, SPILLING) / other for found, other in zip(rounds, best, strict=True)],
    )
    if ROOMY in rounds[0]:
        ceilings = [_rate(found, ROOMY) / other for found, other in zip(rounds, best, strict=True)]
        note(f"ceiling_vs_best_other_{at}", ceilings)
    note(f"steps_per_minute_{at}", [_rate(found, OURS) for found in rounds])
    note(f"p99_wait_vs_fcfs_{at}", [found[OURS].p99_s / found["fcfs"].p99_s for found in rounds])
    if level != PEER_LEVEL:
        return
    note("jain", [found[OURS].jain for found in rounds])
    beside = [found for found in rounds if PEER in found]
    if beside:
        ratios = [_rate(found, OURS) / _rate(found, PEER) for found in beside]
        note(f"vs_vllm_langgraph_{at}", ratios, PEER)


def _note_median(
    findings: Findings, name: str, values: Sequence[float], num_asked: int, peer: str = ""
) -> None:
    median = statistics.median(values)
    findings.note(name, median, num_rounds=len(values), num_asked=num_asked, peer=peer)


def _rate(found: Mapping[str, Outcome], name: str) -> float:
    return found[name].steps_per_minute


def _best_other(found: Mapping[str, Outcome]) -> float:
    return max(_rate(found, name) for name in found if name not in (OURS, SPILLING, ROOMY, PEER))


def _open_peer(
    stack: ExitStack,
    options: BenchOptions,
    folder: Path,
    loaded: Mapping[str, Any],
    findings: Findings,
) -> Driver | None:
    """LangGraph over vLLM's server, or a line about why not."""
    langgraph, vllm = find_peer("langgraph", options), find_peer("vllm", options)
    pythons = [None if peer is None else peer.python for peer in (langgraph, vllm)]
    if None in pythons:
        findings.missing.append(
            f"{PEER}: no environments in {options.peers_folder}; make peers installs them"
        )
        return None
    client, server = pythons
    assert client is not None and server is not None
    options.say(f"agentic: {PEER} starts")
    try:
        driver = Driver(
            client,
            "langgraph_agentic_driver.py",
            peer=PEER,
            env=vllm_environment(server.parents[1]),
            arguments=(str(server),),
        )
        stack.enter_context(driver)
        findings.versions |= driver.call(
            "load",
            model=str(folder),
            dtype="bfloat16" if has_native_bf16() else "float32",
            kv_tokens=loaded["kv_tokens"],
            letters=loaded["letters"],
            timeout_s=400.0,
        )
    except PeerFailed as error:
        findings.missing.append(f"{PEER}: {error}")
        return None
    return driver

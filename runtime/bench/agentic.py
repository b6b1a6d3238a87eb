"""``weft bench agentic``: agents that share one engine, by how they are scheduled."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from weft.errors import PeerFailed
from weft.runtime.bench.agentic_arms import KV_TOKENS, OURS, PATIENCE_S, PEER, TIME_SCALE
from weft.runtime.bench.agentic_levels import DEFAULT_ROUNDS, MAX_RUNNING, Levels
from weft.runtime.bench.checkpoint import MINI_LIKE, write_checkpoint
from weft.runtime.bench.contender import own_environment, vllm_environment
from weft.runtime.bench.deadlines import Deadlines
from weft.runtime.bench.driver import Driver
from weft.runtime.bench.findings import Findings
from weft.runtime.bench.options import BenchOptions
from weft.runtime.bench.peers import find_peer
from weft.runtime.machine import has_native_bf16

__all__ = ["bench_agentic"]


def bench_agentic(options: BenchOptions) -> Findings:
    """Figures ``vs_best_other_x…``: weft's steps per minute over those of the other arm of ours
    with the greatest median, by how many times the KV of the open programs is what fits;
    ``weft_tier_…`` are the same with a tier in host memory, four times the pool, against all that
    others are, fcfs with such a tier among them; ``weft_tier_vs_fcfs_tier_x…`` against that alone.
    ``ceiling_vs_best_other_x…``: of an engine whose pool holds all that is open, under fcfs,
    from twice what fits on: what there is to win where KV never has to be given up.
    ``vs_vllm_langgraph_x2``: over LangGraph programs on vLLM's server with as much KV.
    ``p99_wait_vs_fcfs_x…``: of the time to the first token, below 1 weft is better. ``jain``:
    fairness over four tenants at x2. ``deadline_gain``: see ``Deadlines``.
    ``simulated_weft_x…``, ``simulated_fcfs_x…``: steps per minute in the simulator, of the same
    programs in the same span of time, over those on the engine; its costs are fitted to what
    the engine did in the round's other arms.

    Programs are shaped by published traces of coding agents, tokens and times scaled to a model of
    4.2M parameters; a closed loop keeps as many open as the level says, which are met in the midst
    of their work. A cap counts at the best of its settings.
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
        Levels(driver, peer, options, findings, token_bytes=token_bytes).measure()
        Deadlines(
            driver,
            options,
            findings,
            time_scale=TIME_SCALE,
            patience_s=PATIENCE_S,
            num_rounds=options.num_rounds or DEFAULT_ROUNDS,
        ).measure()
    return findings


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

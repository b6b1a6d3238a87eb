"""``weft bench overhead``: what the runtime itself costs, beside LangGraph's functional API."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from weft.errors import PeerFailed
from weft.runtime.bench.contender import own_environment
from weft.runtime.bench.driver import Driver
from weft.runtime.bench.findings import Findings
from weft.runtime.bench.interleave import interleave, median_ratio
from weft.runtime.bench.options import BenchOptions
from weft.runtime.bench.peers import find_peer

__all__ = ["Opener", "bench_overhead", "measure_overhead"]

Opener = Callable[[], Driver]
"""Starts a fresh process of one contender."""

OURS, PEER = "weft", "langgraph"
STEPS = {"num_programs": 10, "num_steps": 100}
WIDTH = 10
NUM_PARKED = 10_000


def bench_overhead(options: BenchOptions) -> Findings:
    """Time per Step and memory per waiting program, without a model and without a store.

    Figures: ``step_time_vs_langgraph`` and ``fan_out_time_vs_langgraph`` are weft's time over
    LangGraph's, ``bytes_per_parked_program_vs_langgraph`` likewise (below 1 weft is cheaper);
    ``…_us`` are microseconds per Step, ``bytes_per_parked_program`` is resident memory.
    """
    openers: dict[str, Opener] = {OURS: _open_weft}
    missing: list[str] = []
    peer = find_peer(PEER, options)
    if peer is None or peer.python is None:
        missing = [f"{PEER}: no environment in {options.peers_folder}; make peers installs it"]
    else:
        python = peer.python
        openers[PEER] = lambda: Driver(python, "langgraph_driver.py", peer=PEER)
    findings = measure_overhead(openers, options)
    findings.missing[:0] = missing
    return findings


def measure_overhead(openers: Mapping[str, Opener], options: BenchOptions) -> Findings:
    """The bench on whatever ``openers`` start; weft's failure is raised, the peer's is noted."""
    findings = Findings()
    try:
        _measure(openers, options, findings)
    except PeerFailed as error:
        if error.peer != PEER:
            raise
        findings = measure_overhead({OURS: openers[OURS]}, options)
        findings.missing.append(f"{PEER}: {error}")
    return findings


def _measure(openers: Mapping[str, Opener], options: BenchOptions, findings: Findings) -> None:
    with ExitStack() as stack:
        drivers = {name: stack.enter_context(opener()) for name, opener in openers.items()}
        if PEER in drivers:
            findings.versions[PEER] = drivers[PEER].call("version")
        _time(findings, drivers, "sequence", "step_time", options)
        _time(findings, drivers, "fan_out", "fan_out_time", options)
        _time(findings, {OURS: drivers[OURS]}, "generations", "gen_step_time", options)
    _park(findings, openers, options)


def _time(
    findings: Findings,
    drivers: Mapping[str, Driver],
    operation: str,
    figure: str,
    options: BenchOptions,
) -> None:
    """Microseconds per Step in interleaved rounds."""
    arguments = {**STEPS, "width": WIDTH} if operation == "fan_out" else STEPS
    num_steps = STEPS["num_programs"] * STEPS["num_steps"]

    def measure(name: str, number: int) -> float:
        return float(drivers[name].call(operation, **arguments)) / num_steps * 1e6

    options.say(f"overhead: {operation}")
    for name in drivers:
        measure(name, -1)  # to warm up
    values = interleave(list(drivers), measure, num_rounds=options.rounds)
    _note(findings, values, figure, "us")


def _park(findings: Findings, openers: Mapping[str, Opener], options: BenchOptions) -> None:
    """Bytes per parked program, each measured in a fresh process."""

    def measure(name: str, number: int) -> float:
        with openers[name]() as driver:
            return float(driver.call("park", num_programs=NUM_PARKED))

    options.say("overhead: parked programs")
    # Memory repeats to a part in a thousand, so one round is as good as five.
    values = interleave(list(openers), measure, num_rounds=options.rounds if options.is_full else 1)
    _note(findings, values, "bytes_per_parked_program", "")


def _note(findings: Findings, values: Mapping[str, list[float]], figure: str, unit: str) -> None:
    for name, measured in values.items():
        whose = figure if name == OURS else f"{name}_{figure}"
        _note_figure(
            findings,
            "_".join(filter(None, [whose, unit])),
            statistics.median(measured),
            len(measured),
            "" if name == OURS else name,
        )
        findings.rows.append(
            {
                "what": figure,
                "contender": name,
                "num_rounds": len(measured),
                "median": statistics.median(measured),
                "lowest": min(measured),
                "highest": max(measured),
            }
        )
    if PEER in values:
        ratio = median_ratio(values, OURS, PEER)
        _note_figure(findings, f"{figure}_vs_{PEER}", ratio, len(values[OURS]), PEER)


def _note_figure(findings: Findings, name: str, value: float, num_rounds: int, peer: str) -> None:
    """Nothing here is cut short by time."""
    findings.note(name, value, num_rounds=num_rounds, num_asked=num_rounds, peer=peer)


def _open_weft() -> Driver:
    return Driver(Path(sys.executable), "weft_overhead_driver.py", peer=OURS, env=own_environment())

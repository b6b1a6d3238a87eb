"""``weft bench quantised``: what 8-bit weights and an 8-bit KV memory buy, and what they cost in
logits and answers."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from os import environ
from pathlib import Path

from weft.errors import EngineError
from weft.runtime.bench.contender import Contender, own_environment
from weft.runtime.bench.driver import Driver
from weft.runtime.bench.engine import BUNDLED, bench_models, race_models
from weft.runtime.bench.findings import Findings
from weft.runtime.bench.interleave import interleave, median_ratio
from weft.runtime.bench.options import BenchOptions

__all__ = ["bench_quantised"]

DRIVER = "weft_driver.py"
NUM_DIALOGUES, NUM_TOKENS = 3, 24
"""Held-out problems of each skill, and the most tokens of an answer."""
CONTEXT, BATCH = 4096, 8
"""Tokens of a sequence, and sequences, where the memory of keys and values shows in the rate."""
NUM_STEPS = 5
"""Of one measurement, which is their median."""
QUALITY_S = 210.0
"""Of the time limit, what memory, logits, long contexts and answers take."""
CHANGES: Mapping[str, Mapping[str, str]] = {
    "int8": {"weights": "int8", "kv_dtype": "auto"},
    "int8kv": {"weights": "stored", "kv_dtype": "int8"},
}
"""What is of 8 bits, by its part of a figure's name."""
STORED: Mapping[str, str] = {"weights": "stored", "kv_dtype": "auto"}
EVAL_TIMEOUT_S = 600.0
EVAL = ("-c", "from weft.runtime.cli import main; main()", "model", "eval", "mini", "--json")


def bench_quantised(options: BenchOptions) -> Findings:
    """8-bit weights beside the stored bfloat16, and 8-bit keys and values beside those of the
    compute dtype, on ``mini`` and on a random 197M-parameter model.

    Figures: ``MODEL_int8_decode_vs_bf16_bN`` and ``MODEL_int8_prefill_vs_bf16`` are rates over
    rates (above 1 is faster), ``MODEL_int8_bytes_vs_bf16`` memory over memory;
    ``MODEL_int8_kl`` is the mean divergence of a token's distribution in nats,
    ``mini_int8_accuracy_SKILL`` the share of held-out problems solved greedily, beside
    ``mini_accuracy_SKILL``.

    ``int8kv`` in place of ``int8`` says the same of the KV memory:
    ``MODEL_int8kv_decode_4k_vs_auto_b8`` compares the forwards of 8 sequences of 4096 tokens,
    ``MODEL_int8kv_bytes_per_token_vs_auto`` what a token takes.
    """
    findings = Findings()
    contenders = [_contender("weft", "int8"), _contender("bf16", "stored")]
    deadline = time.monotonic() + options.limit_s - QUALITY_S
    race_models(findings, contenders, options, deadline=deadline, suffix="_int8")
    with tempfile.TemporaryDirectory(prefix="weft-bench-") as place:
        for folder in bench_models(Path(place), options.seed):
            _note_memory(findings, folder, options)
            _note_divergence(findings, folder, options)
            _note_long_context(findings, folder, options)
    if (BUNDLED / "model.safetensors").exists():
        _note_accuracy(findings, options)
    else:
        findings.missing.append("accuracy: mini is not here; `make mini` trains it")
    return findings


def _contender(kind: str, weights: str) -> Contender:
    env = own_environment()
    return Contender(kind=kind, script=DRIVER, dtype="auto", env=env, arguments=(weights,))


def _note_memory(findings: Findings, folder: Path, options: BenchOptions) -> None:
    """Resident bytes, each measured in a fresh process."""
    options.say(f"{folder.name}: memory")
    sizes: dict[str, float] = {}
    for weights in ("int8", "stored"):
        with _quality() as driver:
            sizes[weights] = driver.call("resident", model=str(folder), weights=weights)
    findings.figures[f"{folder.name}_int8_bytes"] = sizes["int8"]
    findings.figures[f"{folder.name}_int8_bytes_vs_bf16"] = sizes["int8"] / sizes["stored"]


def _note_divergence(findings: Findings, folder: Path, options: BenchOptions) -> None:
    options.say(f"{folder.name}: logits")
    with _quality() as driver:
        found: Mapping[str, Mapping[str, float]] = driver.call(
            "divergence",
            model=str(folder),
            changes=CHANGES,
            dialogues=list(_dialogues()),
            num_tokens=NUM_TOKENS,
            seed=options.seed,
        )
    for kind, values in found.items():
        for name, value in values.items():
            findings.figures[f"{folder.name}_{kind}_{name}"] = value


def _note_long_context(findings: Findings, folder: Path, options: BenchOptions) -> None:
    """Bytes of a token's keys and values, and rates at which sequences that have many decode."""
    figures, name = findings.figures, folder.name
    sizes: dict[str, float] = {}
    with _quality() as driver:
        for kv_dtype in ("int8", "auto"):
            options.say(f"{name}: a memory of {BATCH} times {CONTEXT} tokens, {kv_dtype}")
            sizes[kv_dtype] = driver.call(
                "prepare",
                model=str(folder),
                kv_dtype=kv_dtype,
                context=CONTEXT,
                batch=BATCH,
                seed=options.seed,
            )
        rates = interleave(
            list(sizes),
            lambda kv_dtype, _: BATCH / driver.call("step", kv_dtype=kv_dtype, times=NUM_STEPS),
            num_rounds=options.rounds,
        )
    figures[f"{name}_int8kv_bytes_per_token"] = sizes["int8"]
    figures[f"{name}_int8kv_bytes_per_token_vs_auto"] = sizes["int8"] / sizes["auto"]
    figures[f"{name}_int8kv_decode_4k_tokens_per_s_b8"] = statistics.median(rates["int8"])
    figures[f"{name}_int8kv_decode_4k_vs_auto_b8"] = median_ratio(rates, "int8", "auto")


def _dialogues() -> Iterator[list[dict[str, str]]]:
    """Messages of held-out problems, but for those that need tools."""
    for file in sorted((BUNDLED / "heldout").glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines()[:NUM_DIALOGUES]:
            problem = json.loads(line)
            if not problem["tools"]:
                yield [{"role": m["role"], "content": m["content"]} for m in problem["messages"]]


def _note_accuracy(findings: Findings, options: BenchOptions) -> None:
    kinds = {"mini": STORED, **{f"mini_{kind}": changes for kind, changes in CHANGES.items()}}
    for name, changes in kinds.items():
        options.say(f"{name}: held-out problems")
        for skill, shares in _evaluate(changes, options.seed).items():
            findings.figures[f"{name}_accuracy_{skill}"] = shares["greedy"]


def _evaluate(changes: Mapping[str, str], seed: int) -> Mapping[str, Mapping[str, float]]:
    """What ``weft model eval`` says, by skill. Raises EngineError."""
    command = [sys.executable, *EVAL, "--seed", str(seed)]
    command += ["--weights", changes["weights"], "--kv-dtype", changes["kv_dtype"]]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=EVAL_TIMEOUT_S,
        env={**environ, **own_environment()},
    )
    if done.returncode:
        raise EngineError(f"weft model eval failed: {done.stderr.strip()[-400:]}")
    skills: Mapping[str, Mapping[str, float]] = json.loads(done.stdout)["skills"]
    return skills


def _quality() -> Driver:
    return Driver(Path(sys.executable), "quality_driver.py", peer="weft", env=own_environment())

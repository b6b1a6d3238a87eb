"""The bench of engines: what it measures, and how it spends its time. Engines are fakes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from tests.support.bench import FakeDriver
from weft.errors import InvalidRequest
from weft.runtime.bench import engine
from weft.runtime.bench.contender import Contender
from weft.runtime.bench.driver import Driver
from weft.runtime.bench.findings import Findings
from weft.runtime.bench.options import BenchOptions
from weft.runtime.bench.selection import GPU_MODELS, MODELS
from weft.runtime.testing import ManualClock

Bench = Callable[..., Findings]

STEP_S = {
    "weft": 0.01,
    "bound": 0.005,
    "transformers-bfloat16": 0.08,
    "transformers-float32": 0.04,
    "vllm-bfloat16": 0.06,
    "vllm-float32": 0.02,
}
GPU_STEP_S = {"transformers_cb-bfloat16": 0.03}


class TimedDriver(FakeDriver):
    """Takes its time on a clock, and for 20 tokens of prompts as long as for a step."""

    def __init__(self, peer: str, clock: ManualClock, slowness: float) -> None:
        super().__init__(peer, {**STEP_S, **GPU_STEP_S}[peer] * slowness)
        self._clock = clock

    def call(self, operation: str, *, timeout_s: float = 0.0, **arguments: object) -> object:
        if operation != "generate":
            return super().call(operation, timeout_s=timeout_s, **arguments)
        prompts, num_tokens = cast("list[list[int]]", arguments["prompts"]), arguments["num_tokens"]
        num_steps = cast("int", num_tokens) + sum(map(len, prompts)) / 20
        self._clock.advance(num_steps * self.step_s)
        return num_steps * self.step_s


def contenders(_: BenchOptions, *, has_gpu: bool) -> tuple[list[Contender], list[str]]:
    found = [
        Contender(kind="weft", script="", dtype="auto"),
        Contender(kind="bound", script="", dtype="auto", max_batch=4),
    ]
    for name in [*list(STEP_S)[2:], *(GPU_STEP_S if has_gpu else ())]:
        kind, dtype = name.split("-")
        found.append(Contender(kind=kind, script="", dtype=dtype))
    return found, []


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Runs the bench on fakes, so much slower than usual."""

    def models(place: Path, seed: int, chosen: Sequence[str] = MODELS) -> Iterator[Path]:
        yield from map(Path, chosen)

    def run(slowness: float = 1.0, gpu: str = "", **options: Any) -> Findings:
        clock = ManualClock()

        def start(contender: Contender) -> Driver:
            return cast(Driver, TimedDriver(contender.name, clock, slowness))

        monkeypatch.setattr(engine, "start", start)
        return engine.bench_engine(BenchOptions(**options), clock=clock.now, find_gpu=lambda: gpu)

    monkeypatch.setattr(engine, "engine_contenders", contenders)
    monkeypatch.setattr(engine, "bench_models", models)
    return run


BATCHES = (1, 8, 32, 128)


@pytest.mark.parametrize("model", MODELS)
def test_every_promised_figure_is_a_median_of_five_rounds(bench: Bench, model: str) -> None:
    findings = bench(models=(model,))
    promised = {
        *(f"{model}_decode_vs_{peer}_b{n}" for peer in ("vllm", "transformers") for n in BATCHES),
        *(f"{model}_prefill_vs_{peer}" for peer in ("vllm", "transformers")),
        f"{model}_decode_b1_vs_bandwidth",
        f"{model}_prefill_vs_matrix_rate",
        f"{model}_decode_vs_vllm_bf16_b1",
    }
    assert promised <= set(findings.figures)
    assert all(name.startswith(model) for name in findings.figures)
    assert {basis.num_rounds for basis in findings.basis.values()} == {5}
    assert findings.basis[f"{model}_decode_vs_vllm_b128"].peer == "vllm-float32"
    assert findings.basis[f"{model}_decode_vs_vllm_bf16_b1"].peer == "vllm-bfloat16"
    assert findings.figures[f"{model}_decode_vs_vllm_b8"] == pytest.approx(2.0)
    assert findings.figures[f"{model}_decode_vs_vllm_bf16_b1"] == pytest.approx(6.0)


def test_on_a_gpu_the_largest_model_is_compared_with_continuous_batching(bench: Bench) -> None:
    figures = bench(gpu="Abacus", models=("qwen3_1b7",)).figures
    assert figures["qwen3_1b7_decode_b1_vs_bandwidth"] == pytest.approx(0.5)
    assert figures["qwen3_1b7_prefill_vs_matrix_rate"] == pytest.approx(0.5)
    assert figures["qwen3_1b7_decode_weft_tokens_per_s_b1"] == pytest.approx(100.0)
    for batch in (32, 128):
        name = f"qwen3_1b7_decode_vs_transformers_cb_b{batch}"
        assert figures[name] == pytest.approx(3.0)


def test_without_a_gpu_it_is_refused_before_anything_starts(bench: Bench) -> None:
    with pytest.raises(InvalidRequest, match="CUDA device"):
        bench(models=("qwen3_1b7",))


def test_everything_is_measured_by_default_and_the_largest_model_on_a_gpu_alone(
    bench: Bench,
) -> None:
    plain, gpu = bench(num_rounds=1), bench(gpu="Abacus", num_rounds=1)
    assert {row["model"] for row in plain.rows} == set(MODELS)
    assert {row["model"] for row in gpu.rows} == {*MODELS, *GPU_MODELS}
    lengths = {row["model"]: row["prompt_tokens"] for row in gpu.rows if row["phase"] == "prefill"}
    assert lengths == {"mini": 256, "m197": 256, "qwen3_1b7": 2048}


def test_in_full_every_workload_is_compared_in_the_checkpoint_s_dtype(bench: Bench) -> None:
    short, full = bench(models=("m197",)), bench(models=("m197",), is_full=True, num_rounds=1)
    wanted = {f"m197_decode_vs_vllm_bf16_b{n}" for n in BATCHES} | {"m197_prefill_vs_vllm_bf16"}
    assert wanted <= set(full.figures)
    assert not full.missing
    assert "--full" in short.missing[0]


def test_only_what_is_asked_for_is_measured(bench: Bench) -> None:
    findings = bench(models=("m197",), workloads=("decode:128",))
    assert {row["model"] for row in findings.rows} == {"m197"}
    measured = {(row["phase"], row["batch"]) for row in findings.rows if row["num_rounds"]}
    assert measured == {("decode", 128)}
    # The variants of peers were tried, where it is cheap to.
    assert findings.basis["m197_decode_vs_vllm_b128"].peer == "vllm-float32"


@pytest.mark.parametrize("options", [{"models": ("m9",)}, {"workloads": ("decode:2",)}])
def test_what_there_is_not_is_refused(bench: Bench, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="There is no"):
        bench(**options)


def test_on_a_slow_machine_every_workload_has_some_rounds_and_says_how_many(bench: Bench) -> None:
    findings = bench(slowness=15.0, models=("m197",))
    rounds = {name: basis.num_rounds for name, basis in findings.basis.items()}
    assert {f"m197_decode_vs_vllm_b{n}" for n in BATCHES} | {"m197_prefill_vs_vllm"} <= set(rounds)
    assert 1 <= min(rounds.values()) < 5
    assert all(basis.is_short == (basis.num_rounds < 5) for basis in findings.basis.values())


def test_a_hopeless_machine_names_what_it_had_no_time_for(bench: Bench) -> None:
    findings = bench(slowness=3000.0, models=("m197",))
    assert "m197_prefill_…: no time left for it" in findings.missing
    assert "m197_prefill_vs_vllm" not in findings.figures

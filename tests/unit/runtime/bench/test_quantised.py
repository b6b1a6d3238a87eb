"""The bench of 8-bit weights: its figures from fakes, its driver on a tiny model."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from tests.support.bench import TINY
from weft.errors import EngineError
from weft.runtime.bench import quantised
from weft.runtime.bench.checkpoint import write_checkpoint
from weft.runtime.bench.contender import Contender
from weft.runtime.bench.findings import Findings
from weft.runtime.bench.options import BenchOptions

SIZES = {"stored": 80.0, "int8": 50.0}


class FakeDriver:
    """Knows memory by weights, and one divergence."""

    dialogues: list[list[dict[str, str]]]

    def call(self, operation: str, **arguments: Any) -> Any:
        if operation == "resident":
            return SIZES[arguments["weights"]]
        FakeDriver.dialogues = arguments["dialogues"]
        return {"kl": 0.5, "agreement": 1.0}

    def __enter__(self) -> FakeDriver:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing was opened."""


@pytest.fixture
def raced(monkeypatch: pytest.MonkeyPatch) -> list[Contender]:
    """The contenders raced, while everything slow is a fake."""
    contenders: list[Contender] = []

    def race(
        _: Findings, entered: list[Contender], __: BenchOptions, *, deadline: float, suffix: str
    ) -> None:
        assert suffix == "_int8" and deadline > time.monotonic()
        contenders.extend(entered)

    def evaluate(weights: str, _: int) -> Mapping[str, Mapping[str, float]]:
        return {"countdown": {"greedy": 0.25 if weights == "int8" else 0.5}}

    def open_fake(*_: object, **__: object) -> FakeDriver:
        return FakeDriver()

    def models(*_: object) -> list[Path]:
        return [Path("m9")]

    monkeypatch.setattr(quantised, "race_models", race)
    monkeypatch.setattr(quantised, "_evaluate", evaluate)
    monkeypatch.setattr(quantised, "Driver", open_fake)
    monkeypatch.setattr(quantised, "bench_models", models)
    return contenders


def test_figures_are_against_stored_weights(raced: list[Contender]) -> None:
    figures = quantised.bench_quantised(BenchOptions()).figures
    assert [(each.kind, each.arguments) for each in raced] == [
        ("weft", ("int8",)),
        ("bf16", ("stored",)),
    ]
    expected = {
        "m9_int8_bytes": 50.0,
        "m9_int8_bytes_vs_bf16": 0.625,
        "m9_int8_kl": 0.5,
        "m9_int8_agreement": 1.0,
        "mini_accuracy_countdown": 0.5,
        "mini_int8_accuracy_countdown": 0.25,
    }
    assert figures == expected
    assert ["system", "user"] in [[m["role"] for m in each] for each in FakeDriver.dialogues]


def test_without_mini_no_answers_are_counted(
    raced: list[Contender], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(quantised, "BUNDLED", tmp_path)
    findings = quantised.bench_quantised(BenchOptions())
    assert not [name for name in findings.figures if "accuracy" in name]
    assert "mini is not here" in findings.missing[0]


def test_a_failed_evaluation_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantised, "EVAL", ("-c", "import sys; sys.exit('no model')"))
    with pytest.raises(EngineError, match="no model"):
        quantised._evaluate("int8", 0)  # pyright: ignore[reportPrivateUsage]


def driver() -> Mapping[str, Callable[..., Any]]:
    module = importlib.import_module("weft.runtime.bench.drivers.quality_driver")
    return cast("Mapping[str, Callable[..., Any]]", module.open_driver())


@pytest.mark.slow
def test_the_driver_sees_what_rounding_does(tmp_path: Path) -> None:
    shape = replace(TINY, head_dim=16, hidden_size=32, intermediate_size=32)
    folder = str(write_checkpoint(tmp_path / "tiny", shape, seed=0))
    dialogue = [{"role": "user", "content": "Hello."}]
    found = driver()["divergence"](model=folder, dialogues=[dialogue] * 2, num_tokens=5, seed=0)
    assert 0 < found["kl"] <= found["kl_p99"] < 1e-3
    assert 0 < found["logit_max_abs"] < 0.1
    assert 0.5 <= found["agreement"] <= 1


@pytest.mark.slow
def test_memory_grows_with_the_model(tmp_path: Path) -> None:
    shape = replace(TINY, head_dim=16, hidden_size=1024, intermediate_size=4096)
    folder = str(write_checkpoint(tmp_path / "tiny", shape, seed=0))
    assert driver()["resident"](model=folder, weights="int8") > 1024 * 4096 * 3

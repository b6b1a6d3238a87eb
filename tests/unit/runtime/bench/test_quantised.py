"""The bench of 8-bit weights: its figures from fakes, its driver on a tiny model."""

from __future__ import annotations

import importlib
import sys
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
from weft.runtime.bench.contender import Contender, own_environment
from weft.runtime.bench.driver import Driver
from weft.runtime.bench.findings import Findings
from weft.runtime.bench.options import BenchOptions
from weft.runtime.engine.model.native import has_fast_bfloat16

SIZES = {"stored": 80.0, "int8": 50.0}
TOKEN_BYTES = {"auto": 640.0, "int8": 160.0}
SECONDS = {"auto": 0.5, "int8": 0.25}
DIVERGENCES = {("int8", "auto"): 0.5, ("stored", "int8"): 0.125}
SHARES = {("stored", "auto"): 0.5, ("int8", "auto"): 0.25, ("stored", "int8"): 0.375}


class FakeDriver:
    """Knows memory, seconds and divergences by what is of 8 bits."""

    dialogues: list[list[dict[str, str]]]

    def call(self, operation: str, **arguments: Any) -> Any:
        match operation:
            case "resident":
                return SIZES[arguments["weights"]]
            case "prepare":
                return TOKEN_BYTES[arguments["kv_dtype"]]
            case "step":
                return SECONDS[arguments["kv_dtype"]]
            case _:
                FakeDriver.dialogues = arguments["dialogues"]
                return {
                    kind: {"kl": DIVERGENCES[each["weights"], each["kv_dtype"]], "agreement": 1.0}
                    for kind, each in arguments["changes"].items()
                }

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

    def evaluate(changes: Mapping[str, str], _: int) -> Mapping[str, Mapping[str, float]]:
        return {"countdown": {"greedy": SHARES[changes["weights"], changes["kv_dtype"]]}}

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
        "m9_int8kv_kl": 0.125,
        "m9_int8kv_agreement": 1.0,
        "m9_int8kv_bytes_per_token": 160.0,
        "m9_int8kv_bytes_per_token_vs_auto": 0.25,
        "m9_int8kv_decode_4k_tokens_per_s_b8": 32.0,
        "m9_int8kv_decode_4k_vs_auto_b8": 2.0,
        "mini_accuracy_countdown": 0.5,
        "mini_int8_accuracy_countdown": 0.25,
        "mini_int8kv_accuracy_countdown": 0.375,
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
        quantised._evaluate(quantised.STORED, 0)  # pyright: ignore[reportPrivateUsage]


def driver() -> Mapping[str, Callable[..., Any]]:
    module = importlib.import_module("weft.runtime.bench.drivers.quality_driver")
    return cast("Mapping[str, Callable[..., Any]]", module.open_driver())


@pytest.mark.slow
def test_the_driver_sees_what_rounding_does(tmp_path: Path) -> None:
    shape = replace(TINY, head_dim=16, hidden_size=32, intermediate_size=32)
    folder = str(write_checkpoint(tmp_path / "tiny", shape, seed=0))
    dialogue = [{"role": "user", "content": "Hello."}]
    changes = {**quantised.CHANGES, "nothing": quantised.STORED}
    found = driver()["divergence"](
        model=folder, changes=changes, dialogues=[dialogue] * 2, num_tokens=5, seed=0
    )
    for kind in quantised.CHANGES:
        assert 0 < found[kind]["kl"] <= found[kind]["kl_p99"] < 1e-3
        assert 0 < found[kind]["logit_max_abs"] < 0.1
        assert 0.5 <= found[kind]["agreement"] <= 1
    assert found["nothing"]["kl"] == found["nothing"]["logit_max_abs"] == 0


@pytest.mark.slow
def test_memory_grows_with_the_model(tmp_path: Path) -> None:
    shape = replace(TINY, head_dim=16, hidden_size=1024, intermediate_size=4096)
    folder = str(write_checkpoint(tmp_path / "tiny", shape, seed=0))
    env = own_environment()
    # A process of its own: what others have freed here would be used again.
    with Driver(Path(sys.executable), "quality_driver.py", peer="weft", env=env) as fresh:
        assert fresh.call("resident", model=folder, weights="int8") > 1024 * 4096 * 3


@pytest.mark.slow
def test_memories_of_both_kinds_are_decoded_over(tmp_path: Path) -> None:
    shape = replace(TINY, head_dim=16, hidden_size=32, intermediate_size=32)
    folder = str(write_checkpoint(tmp_path / "tiny", shape, seed=0))
    operations = driver()
    auto_bytes = 2 if has_fast_bfloat16() else 4
    for kv_dtype, token_bytes in (("int8", 2 * (16 + 4)), ("auto", 2 * 16 * auto_bytes)):
        asked = {"model": folder, "context": 40, "batch": 3, "seed": 0}
        assert operations["prepare"](kv_dtype=kv_dtype, **asked) == token_bytes
        assert operations["step"](kv_dtype=kv_dtype, times=2) > 0

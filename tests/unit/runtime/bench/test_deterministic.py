"""The price of deterministic mode: its figures from fakes, its driver on a tiny model."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from tests.support.bench import TINY, FakeDriver
from weft.errors import PeerFailed
from weft.runtime.bench import deterministic
from weft.runtime.bench.checkpoint import write_checkpoint
from weft.runtime.bench.contender import Contender
from weft.runtime.bench.driver import Driver
from weft.runtime.bench.options import BenchOptions

STEP_S = {("stored", "torch-deterministic"): 0.015, ("stored", "torch"): 0.01}


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[FakeDriver]:
    drivers: list[FakeDriver] = []

    def start(contender: Contender) -> Driver:
        mode, how = contender.arguments
        drivers.append(FakeDriver(contender.name, STEP_S[mode, how]))
        return cast(Driver, drivers[-1])

    def models(place: Path, seed: int) -> Iterator[Path]:
        yield from (Path("mini"), Path("m197"))

    monkeypatch.setattr(deterministic, "start", start)
    monkeypatch.setattr(deterministic, "bench_models", models)
    return drivers


@pytest.mark.usefixtures("started")
def test_the_price_is_a_ratio_of_rates_at_every_batch() -> None:
    findings = deterministic.bench_deterministic(BenchOptions())
    assert len(findings.figures) == 2 * 3 * 3
    for model in ("mini", "m197"):
        for batch in (1, 8, 32):
            name = f"{model}_deterministic_vs_default_b{batch}"
            assert findings.figures[name] == pytest.approx(2 / 3)
            assert findings.basis[name].num_rounds == 5
    assert findings.figures["m197_deterministic_tokens_per_s_b8"] == pytest.approx(8 / 0.015)
    assert findings.figures["m197_default_tokens_per_s_b8"] == pytest.approx(800.0)
    assert findings.missing == [deterministic.NATIVE]


class Refusing(FakeDriver):
    def call(self, operation: str, *, timeout_s: float = 0.0, **arguments: object) -> object:
        raise PeerFailed("It cannot.", peer="weft")


@pytest.mark.usefixtures("started")
def test_a_machine_that_cannot_be_deterministic_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(contender: Contender) -> Driver:
        return cast(Driver, Refusing(contender.name, 1.0))

    monkeypatch.setattr(deterministic, "start", start)
    with pytest.raises(PeerFailed, match="It cannot"):
        deterministic.bench_deterministic(BenchOptions())


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["torch", "torch-deterministic"])
def test_the_driver_computes_on_torch(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_checkpoint(tmp_path / "tiny", replace(TINY, head_dim=16), seed=0)
    module = importlib.import_module("weft.runtime.bench.drivers.weft_driver")
    paths: list[tuple[str, bool]] = []
    opened = module.EmbeddedEngine

    def open_engine(runner: Any, *arguments: Any, **named: Any) -> object:
        paths.append((runner.path, runner.is_deterministic))
        return opened(runner, *arguments, **named)

    monkeypatch.setattr(module, "EmbeddedEngine", open_engine)
    driver = cast("Mapping[str, Callable[..., Any]]", module.open_driver("stored", mode))
    limits = {"dtype": "auto", "max_context": 64, "max_batch": 4, "seed": 0}
    driver["load"](model=str(folder), **limits)
    try:
        assert driver["generate"](prompts=[[20, 21, 22], [30, 31, 32]], num_tokens=3) > 0.0
    finally:
        driver["close"]()
    assert paths == [("fused", mode == "torch-deterministic")]

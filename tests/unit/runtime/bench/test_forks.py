"""The bench of forks: its arithmetic on scripted drivers, and what weft's own driver compares."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain, count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.support.bench import TINY, write_lively
from weft.errors import EngineError, PeerFailed
from weft.runtime.bench import contender, forks
from weft.runtime.bench.contender import Contender
from weft.runtime.bench.driver import Driver
from weft.runtime.bench.findings import Findings
from weft.runtime.bench.forked import Fork
from weft.runtime.bench.forks import bench_forks, race_forks
from weft.runtime.bench.options import BenchOptions
from weft.runtime.engine.protocol import EngineStats

SECONDS = {
    "shared": (1.0, 1.0),
    "text": (1.0, 2.0),
    "separate": (8.0, 4.0),
    "vllm-bfloat16": (40.0, 4.0),
    "vllm-float32": (4.0, 1.0),
}
SAID = [[1], [2], [3]]
LIMITS = {"dtype": "float32", "max_context": 256, "max_batch": 4, "seed": 0}


class ScriptedDriver:
    """Takes its time, and says what it is told to; fails from call number ``fails_at`` on."""

    def __init__(self, name: str, fails_at: int = 10**9) -> None:
        self.name, self.fails_at = name, fails_at
        self.said = SAID
        self.sees_branches = True
        self.loaded: dict[str, Any] = {}
        self.forks: list[dict[str, Any]] = []
        self.num_calls, self.is_closed = 0, False

    def call(self, operation: str, *, timeout_s: float = 0.0, **arguments: Any) -> Any:
        self.num_calls += 1
        if self.num_calls >= self.fails_at:
            raise PeerFailed("It broke.", peer=self.name)
        if operation == "sees_branches":
            return self.sees_branches
        if operation == "load":
            self.loaded = arguments
            return "1.2" if self.name.startswith("vllm") else ""
        self.forks.append(arguments)
        branches_s, join_s = SECONDS[self.name]
        return {"branches_s": branches_s, "join_s": join_s, "tokens": self.said}

    def close(self) -> None:
        self.is_closed = True

    def __enter__(self) -> ScriptedDriver:
        if self.fails_at == 0:
            raise PeerFailed("It broke.", peer=self.name)
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


Drivers = dict[str, ScriptedDriver]


@pytest.fixture
def drivers() -> Drivers:
    return {name: ScriptedDriver(name) for name in SECONDS}


def race(
    drivers: Drivers, *, until: float = math.inf, ticks: Iterator[float] | None = None
) -> Findings:
    findings, ticking = Findings(), count(0.0, 100.0) if ticks is None else ticks
    contenders = [
        Contender(kind=kind, script="", dtype=dtype or "auto")
        for kind, _, dtype in (name.partition("-") for name in drivers)
    ]
    race_forks(
        findings,
        BenchOptions(num_rounds=3),
        contenders,
        Path("m197"),
        until,
        start=lambda contender: cast("Driver", drivers[contender.name]),
        clock=lambda: next(ticking),
    )
    return findings


def test_figures_compare_whole_forks_and_say_what_the_join_took(drivers: Drivers) -> None:
    findings = race(drivers)
    figures = findings.figures
    assert figures["fork8_speedup"] == 6.0
    assert figures["fork8_vs_text"] == 1.5
    assert figures["fork8_vs_vllm"] == 2.5
    assert figures["fork8_ms_separate"] == 12_000.0
    assert figures["fork8_branches_ms_vllm"] == 4000.0
    assert figures["fork8_join_ms_text"] == 2000.0
    assert set(findings.basis) == set(figures)
    assert {basis.num_rounds for basis in findings.basis.values()} == {3}
    assert findings.basis["fork8_vs_vllm"].peer == "vllm-float32"
    assert findings.versions == {"vllm": "1.2"}
    assert {row["num_rounds"] for row in findings.rows} == {3}
    assert all(driver.is_closed for driver in drivers.values())


def test_all_have_the_same_tokens_and_no_context_comes_twice(drivers: Drivers) -> None:
    race(drivers)
    asked = drivers["shared"].forks
    assert [len(one["context"]) for one in asked] == [512, 4096, 4096, 4096]
    assert len({tuple(one["context"][:16]) for one in asked}) == len(asked)
    for one in asked:
        firsts = [head[0] for head in (*one["heads"], one["join_head"])]
        assert len(one["heads"]) == 8 and len(set(firsts)) == 9
    for name in ("text", "separate", "vllm-float32"):
        assert drivers[name].forks == asked
    assert drivers["vllm-bfloat16"].forks == asked[:1]


def test_prompts_follow_from_the_seed() -> None:
    fork = Fork(context_tokens=8, num_tokens=1)
    assert fork.prompts(0, 1) == fork.prompts(0, 1) != fork.prompts(1, 1)


def test_the_peer_caches_prefixes(drivers: Drivers) -> None:
    race(drivers)
    assert drivers["vllm-float32"].loaded["has_prefix_cache"] is True
    assert "has_prefix_cache" not in drivers["text"].loaded


@pytest.mark.parametrize(
    "fails_at", [0, 1, 2, 3, 4], ids=["start", "load", "trial", "first", "second"]
)
def test_a_peer_that_fails_is_named_and_the_others_go_on(drivers: Drivers, fails_at: int) -> None:
    drivers["vllm-float32"].fails_at = fails_at
    del drivers["vllm-bfloat16"]
    findings = race(drivers)
    assert findings.figures["fork8_speedup"] == 6.0
    assert "fork8_vs_vllm" not in findings.figures
    assert findings.missing == ["vllm-float32 on m197: It broke."]


def test_our_own_failure_is_raised(drivers: Drivers) -> None:
    drivers["text"].fails_at = 3
    with pytest.raises(PeerFailed):
        race(drivers)
    assert all(driver.is_closed for driver in drivers.values())


def test_ways_that_say_different_things_are_not_compared(drivers: Drivers) -> None:
    drivers["separate"].said = [[1], [7], [3]]
    with pytest.raises(EngineError, match="'separate' say something else"):
        race(drivers)


def test_a_join_may_say_something_else(drivers: Drivers) -> None:
    drivers["shared"].said = [[1], [2], [9]]
    assert race(drivers).figures["fork8_speedup"] == 6.0


@pytest.mark.parametrize(("until", "num_rounds"), [(199.0, 1), (200.0, 2), (300.0, 3)])
def test_no_round_begins_that_would_end_too_late(
    drivers: Drivers, until: float, num_rounds: int
) -> None:
    basis = race(drivers, until=until).basis["fork8_speedup"]
    assert (basis.num_rounds, basis.num_asked) == (num_rounds, 3)


def test_where_branches_cannot_be_joined_nothing_is_measured(drivers: Drivers) -> None:
    drivers["shared"].sees_branches = False
    findings = race(drivers)
    assert not findings.figures
    assert "does not join branches" in findings.missing[0]
    assert not drivers["separate"].forks


@pytest.fixture
def raced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the contenders that a bench lets race."""
    names: list[str] = []

    def write(folder: Path, shape: object, *, seed: int) -> Path:
        return folder

    def race(_: Findings, __: BenchOptions, contenders: list[Contender], *more: object) -> None:
        names.extend(one.name for one in contenders)

    monkeypatch.setattr(forks, "write_checkpoint", write)
    monkeypatch.setattr(forks, "race_forks", race)
    return names


@pytest.mark.parametrize(
    ("peers", "line"),
    [({}, "vllm: no environment"), ({"vllm": "http://127.0.0.1:1"}, "fork8_vs_vllm: a server")],
)
def test_a_missing_peer_is_named(
    raced: list[str], tmp_path: Path, peers: dict[str, str], line: str
) -> None:
    findings = Findings()
    bench_forks(findings, BenchOptions(peers=peers, peers_folder=tmp_path), math.inf)
    assert raced == ["shared", "text", "separate"]
    assert findings.missing[0].startswith(line)


@pytest.mark.parametrize(
    ("is_full", "names"),
    [(False, ["vllm-float32"]), (True, ["vllm-bfloat16", "vllm-float32"])],
)
def test_only_in_full_the_peer_is_tried_in_an_emulated_dtype(
    monkeypatch: pytest.MonkeyPatch,
    raced: list[str],
    tmp_path: Path,
    is_full: bool,
    names: list[str],
) -> None:
    monkeypatch.setattr(contender, "has_native_bf16", lambda: False)
    python = tmp_path / "vllm" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    bench_forks(Findings(), BenchOptions(peers_folder=tmp_path, is_full=is_full), math.inf)
    assert raced[3:] == names


FORK = Fork(context_tokens=40, num_branches=3, num_tokens=20).prompts(0)


def driven(way: str, folder: Path) -> tuple[list[list[int]], EngineStats]:
    """What branches and join said, and what the engine counted."""
    module: Any = importlib.import_module("weft.runtime.bench.drivers.weft_fork_driver")
    weft = module._Weft(way)
    try:
        weft.load(**LIMITS, model=str(folder))
        if not weft.sees_branches():
            pytest.skip("branches are joined by weft's own kernels alone")
        took = weft.fork(**FORK)
        assert took["branches_s"] > 0.0 and took["join_s"] > 0.0
        return took["tokens"], weft._own.engine.stats()
    finally:
        weft.close()


@pytest.mark.slow
def test_branches_say_the_same_in_every_way_and_joins_where_prompts_are_the_same(
    tmp_path: Path,
) -> None:
    folder = write_lively(tmp_path / "lively", replace(TINY, head_dim=16))
    said: dict[str, list[list[int]]] = {}
    num_computed: dict[str, int] = {}
    for way in ("shared", "text", "separate"):
        said[way], stats = driven(way, folder)
        num_computed[way] = stats.num_prompt_tokens - stats.num_cached_tokens
    assert said["text"] == said["separate"]
    assert said["shared"][:-1] == said["separate"][:-1]
    assert len({tuple(tokens) for tokens in said["separate"]}) == 4
    assert all(len(tokens) == 20 for tokens in said["shared"])
    assert num_computed["shared"] < num_computed["text"] < num_computed["separate"]
    assert num_computed["separate"] == 3 * 44 + 40 + 3 * 24 + 4


class FakeVllm:
    """A ``vllm`` whose model continues a prompt by its last token plus 1, 2, 3 …"""

    __version__ = "1.2"

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {}
        self.calls: list[list[list[int]]] = []

    def LLM(self, name: str, **settings: Any) -> FakeVllm:
        self.settings = settings
        return self

    def SamplingParams(self, **settings: Any) -> Any:
        return SimpleNamespace(**settings)

    def TokensPrompt(self, *, prompt_token_ids: list[int]) -> list[int]:
        return prompt_token_ids

    def generate(self, prompts: list[list[int]], sampling: Any, *, use_tqdm: bool) -> list[Any]:
        self.calls.append(prompts)
        return [
            SimpleNamespace(outputs=[SimpleNamespace(token_ids=self._continue(prompt, sampling))])
            for prompt in prompts
        ]

    def _continue(self, prompt: list[int], sampling: Any) -> tuple[int, ...]:
        return tuple(prompt[-1] + 1 + number for number in range(sampling.max_tokens))


def test_vllm_joins_the_text_of_its_own_branches(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = FakeVllm()
    monkeypatch.setitem(sys.modules, "vllm", fake)
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module("weft.runtime.bench.drivers.vllm_driver")
    driver = cast("dict[str, Callable[..., Any]]", module.open_driver())
    driver["load"](**LIMITS, model=str(tmp_path / "m197"), has_prefix_cache=True)
    took = driver["fork"](context=[5], heads=[[10], [20]], join_head=[30], num_tokens=2)
    branches = [[10, 11, 12], [20, 21, 22]]
    assert fake.settings["enable_prefix_caching"] is True
    assert fake.calls == [[[5, 10], [5, 20]], [[5, *chain(*branches), 30]]]
    assert took["tokens"] == [[11, 12], [21, 22], [31, 32]]

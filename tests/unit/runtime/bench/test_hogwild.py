"""The bench of lanes: its arithmetic on a scripted engine, and its rates on a tiny one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.support.tiny import build_checkpoint
from weft.runtime.bench import lists
from weft.runtime.bench.findings import Findings
from weft.runtime.bench.hogwild import bench_rates
from weft.runtime.bench.lists import bench_lists, recorded_lists
from weft.runtime.bench.options import BenchOptions
from weft.runtime.engine import Engine, EngineConfig
from weft.runtime.testing import Prompted, ScriptedEngine

NUM_ITEMS = 8


def problem(name: str, num_items: int) -> str:
    asked = "\n".join(f"{number}: {name}" for number in range(1, num_items + 1))
    messages = [{"role": "system", "content": "Solve."}, {"role": "user", "content": asked}]
    lines = [f"{number}: {name}!" for number in range(1, num_items + 1)]
    return json.dumps({"messages": messages, "check": {"kind": "lines", "lines": lines}})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "heldout").mkdir()
    found = [problem("a", 8), problem("b", 3), problem("c", 10)]
    (tmp_path / "heldout" / "lists.jsonl").write_text("\n".join(found))
    return tmp_path


def test_longer_lists_are_cut_and_shorter_ones_left_out(folder: Path) -> None:
    found = recorded_lists(folder / "heldout" / "lists.jsonl", 5)
    assert [len(one.lines) for one in found] == [NUM_ITEMS, NUM_ITEMS]
    assert found[1].messages[1].content.endswith("\n8: c")
    assert recorded_lists(folder / "none.jsonl", 5) == []


def say(prompted: Prompted) -> str:
    """Lanes take turns; the fourth of four writes a wrong line for what the third has right, and
    one lane alone leaves out an item."""
    name = "a" if "8: a" in prompted.text else "c"
    lane, _, count = prompted.text.rpartition("Lane ")[2].partition(" of ")
    if not count:
        return "".join(f"{number}: {name}!\n" for number in range(1, 8))
    own = range(int(lane), NUM_ITEMS + 1, int(count))
    lines = [f"{number}: {name}!" for number in own]
    if prompted.text.endswith("Lane 4 of 4\n"):
        lines.append("3: wrong")
    return "\n".join(lines) + "\n"


def test_items_are_right_when_one_line_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def open_engine(name: str, *, config: EngineConfig, seed: int) -> Engine:
        assert not config.has_prefix_cache
        return ScriptedEngine(say)

    monkeypatch.setattr(lists, "open_engine", open_engine)
    findings = Findings()
    bench_lists(findings, BenchOptions(num_rounds=2), folder=folder)
    figures = findings.figures
    assert figures["list8_accuracy_points_lanes1"] == 100
    assert figures["list8_accuracy_points_lanes2"] == 100
    assert figures["list8_accuracy_points_lanes4"] == 87.5
    assert figures["list8_accuracy_points_alone"] == 87.5
    assert figures["list8_accuracy_delta_points"] == -12.5
    rows = {row["what"]: row for row in findings.rows}
    assert rows["list8, lanes4"]["num_repeated"] == 2
    assert findings.basis["list8_lanes2_time_ratio"].num_rounds == 2


def test_a_model_without_lists_is_named(tmp_path: Path) -> None:
    findings = Findings()
    bench_lists(findings, BenchOptions(num_rounds=1), folder=tmp_path)
    assert findings.figures == {}
    assert findings.missing == ["list8: the model has no held-out lists"]


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_rates_of_teams_are_measured_beside_one_lane(tmp_path: Path) -> None:
    folder = build_checkpoint(tmp_path, head_dim=16)
    findings = Findings()
    bench_rates(findings, BenchOptions(num_rounds=1), folder=folder, prompt=8, written=4)
    assert findings.figures.keys() == {"lanes2_speedup", "lanes4_speedup", "lanes1_vs_alone"}
    assert all(value > 0 for value in findings.figures.values())
    assert [row["num_rounds"] for row in findings.rows] == [1] * 4

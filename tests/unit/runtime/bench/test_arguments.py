"""The bench of parallel arguments: what it asks, and its arithmetic on a scripted engine."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from weft.runtime.bench import arguments
from weft.runtime.bench.arguments import bench_arguments
from weft.runtime.bench.bookings import drawn_bookings, recorded_bookings
from weft.runtime.bench.findings import Findings
from weft.runtime.bench.options import BenchOptions
from weft.runtime.engine import Engine, EngineConfig
from weft.runtime.testing import Prompted, ScriptedEngine

PARAMETERS = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in "abcd"},
    "required": list("abcd"),
}
VALUES = {name: name.upper() for name in "abcd"}
WHOLE = f'<tool_call>\n{{"name": "book", "arguments": {json.dumps(VALUES)}}}\n</tool_call>'


def problem(number: int, arguments: dict[str, str]) -> str:
    tool = {"name": "book", "description": "Book.", "parameters": PARAMETERS}
    return json.dumps(
        {
            "messages": [{"role": "user", "content": f"Book {number}."}],
            "tools": [{"type": "function", "function": tool}],
            "check": {"kind": "tool_call", "name": "book", "arguments": arguments},
        }
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Held-out problems: three with four arguments, and one with another number."""
    (tmp_path / "heldout").mkdir()
    lines = [problem(1, VALUES), problem(2, {"a": "A"}), problem(3, VALUES), problem(4, VALUES)]
    (tmp_path / "heldout" / "arguments.jsonl").write_text("\n".join(lines))
    return tmp_path


def say(prompted: Prompted) -> str:
    """Right in one go; with heads the second problem is answered wrongly."""
    if '"arguments": {' not in prompted.text:
        return WHOLE
    is_head = prompted.text.endswith(" ")
    value = prompted.text.rstrip()[-3].upper()
    if is_head and "Book 3." in prompted.text:
        value = "?"
    return f'"{value}"}}' if is_head else f' "{value}",'


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[ScriptedEngine]:
    engines: list[ScriptedEngine] = []

    async def open_engine(name: str, *, config: EngineConfig) -> Engine:
        engines.append(ScriptedEngine(say))
        return engines[-1]

    monkeypatch.setattr(arguments, "open_engine", open_engine)
    return engines


def test_only_problems_with_four_arguments_are_asked(folder: Path) -> None:
    file = folder / "heldout" / "arguments.jsonl"
    bookings = recorded_bookings(file, 40)
    assert [one.messages[0].content for one in bookings] == ["Book 1.", "Book 3.", "Book 4."]
    assert bookings[0].tools[0]["parameters"] == PARAMETERS
    assert (bookings[0].name, bookings[0].arguments) == ("book", VALUES)
    assert len(recorded_bookings(file, 2)) == 2
    assert recorded_bookings(folder / "none.jsonl", 40) == []


def test_drawn_requests_follow_from_the_seed_and_hold_their_values() -> None:
    bookings = drawn_bookings(0, 5)
    assert bookings == drawn_bookings(0, 5) != drawn_bookings(1, 5)
    for one in bookings:
        assert len(one.arguments) == 4
        assert all(str(value) in one.messages[0].content for value in one.arguments.values())
        assert {len(str(value)) for value in one.arguments.values()} == {18}


def test_accuracy_is_counted_by_problem_and_time_by_round(
    folder: Path, opened: list[ScriptedEngine]
) -> None:
    findings = Findings()
    bench_arguments(findings, BenchOptions(num_rounds=2), math.inf, folder=folder)
    figures = findings.figures
    assert figures["args4_accuracy_points_sequential"] == 100.0
    assert figures["args4_skeleton_accuracy_delta_points"] == 0.0
    assert figures["args4_accuracy_delta_points"] == pytest.approx(-100 / 3)
    assert {row["num_calls"] for row in findings.rows} == {6}
    assert findings.basis["args4_speedup"].num_rounds == 2
    assert set(figures) >= {"args4_speedup", "args4_skeleton_speedup", "args4_ms_heads"}
    assert not findings.missing
    assert len(opened) == 2


@pytest.mark.usefixtures("opened")
def test_without_held_out_problems_only_time_is_measured(tmp_path: Path) -> None:
    findings = Findings()
    bench_arguments(findings, BenchOptions(num_rounds=1), math.inf, folder=tmp_path, num=2)
    assert "args4_speedup" in findings.figures
    assert not any("accuracy" in name for name in findings.figures)
    assert "only time" in findings.missing[0]

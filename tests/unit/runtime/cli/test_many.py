"""`weft run --runs N` from the outside, on the scripted engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from weft.runtime.cli.app import app

PROGRAMS = """
import os
from weft.programs import gen, program
from weft.runtime.monitor import find_monitors

OPEN = {"now": 0, "most": 0}

@program
async def echo(text: str) -> str:
    OPEN["now"] += 1
    OPEN["most"] = max(OPEN["most"], OPEN["now"])
    try:
        return await gen(text, max_tokens=100) + str(OPEN["most"])
    finally:
        OPEN["now"] -= 1

@program
async def moody() -> str:
    said = await gen("x", max_tokens=1)
    OPEN["now"] += 1
    if OPEN["now"] % 2:
        raise ValueError("not today")
    return said

@program
async def watched() -> bool:
    print("thinking aloud")
    await gen("x", max_tokens=1)
    return [one.pid for one in find_monitors()] == [os.getpid()]
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "many.py").write_text(PROGRAMS)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(program: str, *arguments: str) -> Result:
    command = ["run", f"many.py:{program}", *arguments, "--engine", "scripted://"]
    return CliRunner().invoke(app, command)


def objects(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_every_result_is_shown_and_counted() -> None:
    result = run("echo", "--set", "text=tea", "--runs", "3")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == ["user: tea3"] * 3
    assert "3 ended, 0 of them failed; 27 tokens generated" in result.stderr
    assert "0 running, 3 waiting" in result.stderr


def test_json_is_one_object_a_line_with_seeds_from_the_first() -> None:
    result = run("echo", "--set", "text=tea", "--runs", "4", "--seed", "7", "--json")
    runs = objects(result)
    assert sorted(one["seed"] for one in runs) == [7, 8, 9, 10]  # type: ignore[type-var]
    assert {one["result"] for one in runs} == {"user: tea4"}
    assert len({one["run_id"] for one in runs}) == 4
    listed = CliRunner().invoke(app, ["runs", "ls", "--json"])
    assert len(json.loads(listed.stdout)["runs"]) == 4


@pytest.mark.parametrize(("concurrent", "most"), [("1", "1"), ("2", "2"), ("9", "5")])
def test_so_many_are_open_at_the_same_time(concurrent: str, most: str) -> None:
    result = run("echo", "--set", "text=x", "--runs", "5", "--concurrent", concurrent, "--json")
    assert max(str(one["result"]) for one in objects(result)) == f"user: x{most}"


def test_the_others_go_on_when_some_fail() -> None:
    result = run("moody", "--runs", "4", "--json")
    assert result.exit_code == 1
    statuses = sorted(str(one["status"]) for one in objects(result))
    assert statuses == ["failed", "failed", "finished", "finished"]
    assert "4 ended, 2 of them failed" in result.stderr
    shown = run("moody", "--runs", "2")
    assert shown.exit_code == 1
    assert "ValueError: not today" in shown.stderr and "not today" not in shown.stdout


@pytest.mark.parametrize("arguments", [["--runs", "1"], ["--schedule", "fcfs"]])
def test_it_can_be_watched_while_it_runs_and_not_after(folder: Path, arguments: list[str]) -> None:
    result = run("watched", *arguments, "--json")
    assert [one["result"] for one in objects(result)] == [True]
    assert "thinking aloud" in result.stderr
    assert list((folder / "weft").iterdir()) == []


def test_one_run_alone_has_no_monitor() -> None:
    assert json.loads(run("watched", "--json").stdout)["result"] is False


def test_programs_run_even_where_they_cannot_be_watched(folder: Path) -> None:
    (folder / "weft").symlink_to(folder)
    result = run("moody", "--runs", "2", "--json")
    assert len(objects(result)) == 2
    assert "weft top cannot watch this" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--schedule", "fcsf"], "Did you mean 'fcfs'?"),
        (["--runs", "2", "--trace", "t.html"], "--trace shows one run."),
        (["--runs", "0"], "--runs"),
        (["--concurrent", "0"], "--concurrent"),
    ],
)
def test_callers_mistakes_exit_with_2(arguments: list[str], said: str) -> None:
    result = run("moody", *arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
    assert result.stdout == ""

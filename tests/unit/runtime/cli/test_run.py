"""`weft run` from the outside: files, arguments, output, exit codes, on the scripted engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.support.shell import COMMAND, environment, run_weft
from weft.runtime.cli.app import app

TEAM = """
from typing import Literal
from pydantic import BaseModel
from weft.programs import gen, program, step

class Brief(BaseModel):
    verdict: Literal["for", "against"]
    reason: str

@program
async def brief(topic: str, tries: int = 1) -> Brief:
    pro = gen(f"Case for {topic}", max_tokens=40)
    con = gen(f"Case against {topic}", max_tokens=40)
    return await gen(["Judge: ", pro, con], out=Brief, max_tokens=80)

@program
async def broken(topic: str) -> str:
    await gen(f"Case for {topic}", max_tokens=40)
    raise ValueError("no [luck] today")

@program
async def chatty() -> str:
    print("thinking aloud")
    return "done"

@program
async def echo(text: str) -> str:
    return await gen(text, max_tokens=100)
"""
ANSWERS = {
    "Judge": '{"verdict": "for", "reason": "quiet"}',
    "Case for": "Quiet rooms.",
    "Case against": "Lonely days.",
    "": "?",
}
ANSWERING = "scripted://answers.json"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "team.py").write_text(TEAM)
    (tmp_path / "answers.json").write_text(json.dumps(ANSWERS))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def weft(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def run(*arguments: str) -> Result:
    return weft("run", *arguments, "--engine", ANSWERING)


def test_result_goes_to_standard_output_and_the_rest_to_standard_error(folder: Path) -> None:
    result = run("team.py:brief", "--set", "topic=remote work")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"verdict": "for", "reason": "quiet"}
    assert "KV hit rate" in result.stderr and "brief" in result.stderr


def test_text_is_printed_as_it_is(folder: Path) -> None:
    result = run("team.py:echo", "--input", '{"text": "Case for [tea]"}')
    assert result.stdout == "Quiet rooms.\n"


def test_json_is_one_object_with_the_run_in_it(folder: Path) -> None:
    result = run("team.py:brief", "--set", "topic=tea", "--seed", "5", "--json")
    shown = json.loads(result.stdout)
    assert result.exit_code == 0
    assert shown["status"] == "finished"
    assert shown["result"] == {"verdict": "for", "reason": "quiet"}
    assert (shown["seed"], shown["num_requests"]) == (5, 3)
    written = len("Quiet rooms.") + len("Lonely days.") + len(ANSWERS["Judge"])
    assert shown["num_generated_tokens"] == written
    assert shown["seconds"] >= 0 and "error" not in shown


def test_failed_run_is_one_line_and_exits_with_1(folder: Path) -> None:
    result = run("team.py:broken", "--set", "topic=tea")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "ValueError: no [luck] today (" in result.stderr
    assert "Traceback" not in result.stderr


def test_failed_run_as_json_says_what_failed(folder: Path) -> None:
    result = run("team.py:broken", "--set", "topic=tea", "--json")
    shown = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (shown["status"], shown["result"]) == ("failed", None)
    assert shown["error"]["type"] == "ValueError"


def test_json_stays_alone_when_the_program_prints(folder: Path) -> None:
    assert run("team.py:chatty").stdout == "thinking aloud\ndone\n"
    result = run("team.py:chatty", "--json")
    assert json.loads(result.stdout)["result"] == "done"
    assert "thinking aloud" in result.stderr


@pytest.mark.parametrize("program", ["brief", "broken"])
def test_trace_is_written_whether_the_run_succeeds_or_not(folder: Path, program: str) -> None:
    run(f"team.py:{program}", "--set", "topic=tea", "--trace", "trace.html")
    page = (folder / "trace.html").read_text()
    assert page.lower().startswith("<!doctype html>") and "Case for tea" in page


def test_debug_shows_the_traceback(folder: Path) -> None:
    result = run("team.py:broken", "--set", "topic=tea", "--debug")
    assert result.exit_code == 1
    assert "Traceback" in result.stderr and 'raise ValueError("no [luck] today")' in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["teem.py"], "Did you mean 'team.py'?"),
        (["team.py"], "team.py:brief or team.py:broken or team.py:chatty or team.py:echo"),
        (["team.py:breif"], "Did you mean 'brief'?"),
        (["team.py:brief"], "'topic' is missing"),
        (["team.py:brief", "--set", "topik=x"], "Did you mean 'topic'?"),
        (["team.py:brief", "--set", "topic=x", "--set", "tries=no"], "tries is 'no'"),
        (["team.py:brief", "--set", "topic=x", "--store", "ftp://x"], "no store for 'ftp://x'"),
        (["team.py:brief", "--input", "{"], "--input is no JSON"),
        (["team.py:brief", "--set", "topic=x", "--trace", "no/t.html"], "--trace cannot"),
    ],
)
def test_callers_mistake_is_one_line_and_exits_with_2(
    folder: Path, arguments: list[str], said: str
) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == "" and "Traceback" not in result.stderr
    as_json = run(*arguments, "--json")
    assert as_json.exit_code == 2
    assert said in " ".join(json.loads(as_json.stdout)["error"].values())


def test_engine_that_is_not_there_is_a_callers_mistake(folder: Path) -> None:
    for name in ("scripted://nothing.json", "scripted://team.py"):
        result = weft("run", "team.py:brief", "--set", "topic=x", "--engine", name)
        assert result.exit_code == 2
        assert "cannot be read" in result.stderr


@pytest.mark.parametrize(("option", "said"), [("--weights", "weights"), ("--kv-dtype", "kv_dtype")])
def test_model_that_8_bits_do_not_serve_is_a_callers_mistake(
    folder: Path, tiny_checkpoint: Path, option: str, said: str
) -> None:
    engine = ("--engine", str(tiny_checkpoint), option, "int8")
    result = weft("run", "team.py:brief", "--set", "topic=x", *engine)
    assert result.exit_code == 2
    assert f"{said}='int8': its heads have 8 values" in " ".join(result.stderr.split())


def test_run_is_recorded_and_listed(folder: Path) -> None:
    ran = json.loads(run("team.py:brief", "--set", "topic=tea", "--json").stdout)
    run("team.py:broken", "--set", "topic=tea")
    listed = json.loads(weft("runs", "ls", "--json").stdout)["runs"]
    assert {(entry["status"], entry["run_id"] == ran["run_id"]) for entry in listed} == {
        ("finished", True),
        ("failed", False),
    }
    shown = json.loads(weft("runs", "show", ran["run_id"][:12], "--json").stdout)
    assert shown["output"] == ran["result"]
    assert shown["input"] == {"topic": "tea", "tries": 1} or "tea" in json.dumps(shown["input"])
    kinds = sorted(step["kind"] for step in shown["steps"])
    assert kinds.count("gen") == 3


def test_people_see_runs_and_steps(folder: Path) -> None:
    ran = json.loads(run("team.py:brief", "--set", "topic=tea", "--json").stdout)
    listing = weft("runs", "ls").stdout
    assert all(word in listing for word in (ran["run_id"][:12], "brief", "finished"))
    shown = weft("runs", "show", ran["run_id"]).stdout
    assert shown.count("gen") >= 3 and "quiet" in shown


def test_unknown_run_and_store_are_callers_mistakes(folder: Path) -> None:
    missing = weft("runs", "ls", "--store", "nowhere.db")
    assert missing.exit_code == 2
    assert "There is no store at 'nowhere.db'" in missing.stderr
    run("team.py:echo", "--set", "text=x")
    unknown = weft("runs", "show", "zzz")
    assert unknown.exit_code == 2 and "There is no run 'zzz'" in unknown.stderr


@pytest.mark.slow
def test_command_in_a_process_of_its_own(folder: Path) -> None:
    done = run_weft(
        "run",
        "team.py:brief",
        "--set",
        "topic=tea",
        "--engine",
        ANSWERING,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verdict"] == "for"


@pytest.mark.slow
def test_terminal_shows_a_tree(folder: Path) -> None:
    ours, theirs = os.openpty()
    try:
        done = subprocess.run(
            [*COMMAND, "run", "team.py:brief", "--set", "topic=tea", "--engine", ANSWERING],
            cwd=folder,
            env={**environment(), "TERM": "xterm", "COLUMNS": "80", "LINES": "30"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=theirs,
            check=False,
        )
        shown = os.read(ours, 65536).decode()
    finally:
        os.close(theirs)
        os.close(ours)
    assert done.returncode == 0, shown
    assert json.loads(done.stdout)["verdict"] == "for"
    assert "\x1b[" in shown and "✓" in shown and shown.count("gen") >= 3


FOREVER = """
import asyncio
from weft.programs import program, step

@step
async def wait() -> str:
    print("waiting", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        print("released", flush=True)
    return ""

@program
async def forever() -> str:
    return await wait()
"""


@pytest.mark.slow
def test_interrupt_cancels_the_run_and_exits_with_130(folder: Path) -> None:
    (folder / "forever.py").write_text(FOREVER)
    with subprocess.Popen(
        [*COMMAND, "run", "forever.py", "--engine", "scripted://"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == "released\n"
    assert "Interrupted" in err and "Traceback" not in err
    (recorded,) = json.loads(run_weft("runs", "ls", "--json", cwd=folder).stdout)["runs"]
    assert recorded["status"] == "cancelled"

"""`weft top` from the outside, on processes that show what their programs do."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.support.shell import COMMAND, environment, run_weft
from weft.programs import gen, program
from weft.runtime.cli import top as top_module
from weft.runtime.cli.app import app
from weft.runtime.dispatch import ScheduledEngine, Snapshot
from weft.runtime.executor import Run
from weft.runtime.monitor import Monitor, find_monitors
from weft.runtime.monitor.folder import made_folder, socket_path
from weft.runtime.testing import Reply, ScriptedEngine, Sequencer, settle


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path / "weft"


@program
async def waiting(text: str) -> str:
    return await gen(text, is_raw=True, max_tokens=8)


@contextmanager
def served(folder: Path) -> Generator[Callable[[], None]]:
    """A monitor on a loop of its own, over one Run that never ends; gives what ends it all."""
    never, ended, ready = Sequencer(), asyncio.Event(), threading.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        own = ScriptedEngine(lambda one: Reply(wait=lambda: never.wait(one.text)), name="scripted")
        engine = ScheduledEngine(own)
        async with Monitor(engine, folder=folder):
            async with await Run.start(waiting, "x", engine=engine, run_id="abc"):
                await settle()
                ready.set()
                await ended.wait()

    def run() -> None:
        loop.run_until_complete(serve())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(10)

    def end() -> None:
        if thread.is_alive():
            loop.call_soon_threadsafe(ended.set)
            thread.join()

    try:
        yield end
    finally:
        end()


def top(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["top", *arguments])


@contextmanager
def other_process(folder: Path) -> Generator[int]:
    """One that listens and says nothing, under the id of this process's parent."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(socket_path(made_folder(folder), os.getppid())))
        listener.listen()
        yield os.getppid()


def test_nothing_to_watch_is_said_clearly() -> None:
    for arguments in ([], ["--json"], ["--once"]):
        result = top(*arguments)
        assert result.exit_code == 2
        assert "No processes show what their programs do." in result.output
        assert "weft run FILE --runs 8" in result.output


def test_a_look_shows_the_only_process(folder: Path) -> None:
    with served(folder):
        result = top("--once")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[1] == "1 program: 1 generating; no queue"
    assert lines[-1].split()[:3] == ["abc", "waiting", "generating"]


def test_json_is_one_snapshot_a_line(folder: Path) -> None:
    with served(folder):
        result = top(str(os.getpid()), "--once", "--json")
    [line] = result.stdout.splitlines()
    seen = Snapshot.from_json(line.encode())
    assert (seen.pid, seen.engine, seen.programs[0].run_id) == (os.getpid(), "scripted", "abc")


@pytest.mark.parametrize("as_json", [False, True])
def test_it_follows_until_the_process_ends(
    folder: Path, monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    seen: list[str] = []
    with served(folder) as end:

        def printed(line: str, **options: object) -> None:
            seen.append(line)
            if len(seen) == 2:
                end()

        monkeypatch.setattr(top_module, "print", printed, raising=False)
        result = top("--interval", "0.1", *(["--json"] if as_json else []))
    assert result.exit_code == 0, result.output
    assert seen[-1] == f"Process {os.getpid()} has ended, or runs no more programs."
    if as_json:
        assert json.loads(seen[0])["num_by_phase"]["generating"] == 1
    else:
        assert "1 program: 1 generating; KV 0 0%; no queue" in seen[0]


def test_several_processes_are_listed_and_one_is_chosen(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(top_module, "DESCRIBED_S", 0.2)
    with served(folder), other_process(folder) as other:
        result = top("--once")
        assert result.exit_code == 2
        said = " ".join(result.output.split())
        assert "2 processes show" in said
        assert f"`weft top {os.getpid()}` (scripted, open: 1)" in said
        assert f"`weft top {other}`" in said
        chosen = top(str(os.getpid()), "--once", "--json")
        assert json.loads(chosen.stdout)["pid"] == os.getpid()


def test_a_process_that_is_not_there_is_a_callers_mistake(folder: Path) -> None:
    with served(folder):
        result = top("1")
    assert result.exit_code == 2
    assert "Process 1 does not show" in result.stderr
    assert f"Choose `weft top {os.getpid()}`" in " ".join(result.stderr.split())


@pytest.mark.parametrize("interval", ["0", "-1", "x"])
def test_intervals_have_limits(interval: str) -> None:
    assert top("--interval", interval).exit_code == 2


AGENT = """
import asyncio
from weft.programs import program

@program
async def forever() -> str:
    await asyncio.Event().wait()
    return ""
"""


@contextmanager
def running(cwd: Path) -> Generator[subprocess.Popen[str]]:
    """``weft run --runs 3`` of a program that never ends, once it can be watched."""
    (cwd / "agent.py").write_text(AGENT)
    command = [*COMMAND, "run", "agent.py", "--runs", "3", "--engine", "scripted://"]
    with subprocess.Popen(
        command,
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            while not find_monitors() and process.poll() is None:
                time.sleep(0.05)
            yield process
        finally:
            process.kill()
            process.communicate()


@pytest.mark.slow
def test_a_killed_process_ends_the_watch_and_leaves_nothing_for_the_next(
    tmp_path: Path, folder: Path
) -> None:
    with running(tmp_path) as process:
        with subprocess.Popen(
            [*COMMAND, "top", "--interval", "0.1"],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as watching:
            assert watching.stdout is not None
            assert "3 programs: 3 new" in watching.stdout.readline()
            process.kill()
            process.wait()
            _, said = watching.communicate(timeout=60)
    assert watching.returncode == 0
    assert said == f"Process {process.pid} has ended, or runs no more programs.\n"
    assert socket_path(folder, process.pid).exists()
    assert run_weft("top", cwd=tmp_path).returncode == 2
    assert not socket_path(folder, process.pid).exists()


@pytest.mark.slow
def test_interrupted_both_end_cleanly(tmp_path: Path, folder: Path) -> None:
    ours, theirs = os.openpty()
    with running(tmp_path) as process:
        with subprocess.Popen(
            [*COMMAND, "top", "--interval", "0.1"],
            env={**environment(), "TERM": "xterm", "LINES": "30"},
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=subprocess.PIPE,
            text=True,
        ) as watching:
            shown = ""
            while "forever" not in shown:
                shown += os.read(ours, 65536).decode()
            watching.send_signal(signal.SIGINT)
            _, said = watching.communicate(timeout=60)
        assert (watching.returncode, said) == (0, "")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    os.close(theirs)
    os.close(ours)
    assert process.returncode == 130
    assert "Interrupted" in said and "Traceback" not in said
    assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_a_reader_that_leaves_ends_it_quietly(tmp_path: Path) -> None:
    with running(tmp_path):
        with subprocess.Popen(
            [*COMMAND, "top", "--interval", "0.1", "--json"],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as watching:
            assert watching.stdout is not None and watching.stderr is not None
            json.loads(watching.stdout.readline())
            watching.stdout.close()
            assert watching.stderr.read() == ""
            assert watching.wait(60) == 0

"""Folders, databases, ports and processes: made, within quotas, and gone afterwards."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from weft.errors import EnvironmentFailed, InvalidRequest
from weft.tools.environment import (
    DatabaseNeed,
    Environment,
    FolderNeed,
    Need,
    PortNeed,
    ProcessNeed,
    Site,
)

PYTHON = (sys.executable, "-I", "-S", "-c")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    folder = tmp_path / "site"
    folder.mkdir()
    return Site(folder, disk_bytes=1 << 20, num_ports=2)


def layer(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def is_clean(site: Site) -> bool:
    return not list(site.folder.iterdir()) and site.taken_bytes == site.num_ports_taken == 0


async def test_a_folder_holds_its_layers_and_leaves_them_alone(site: Site, tmp_path: Path) -> None:
    base = layer(tmp_path / "base", {"a": "1", "deep/b": "2", "deep/c": "3"})
    (base / "link").symlink_to("/etc/passwd")
    over = layer(tmp_path / "over", {"deep/b": "two", "a/now/a/folder": "4", "deep/c/x": "5"})
    async with Environment(site) as environment:
        folder = await environment.prepare(FolderNeed(layers=(base, over)))
        assert (folder / "deep/b").read_text() == "two"
        assert (folder / "a/now/a/folder").read_text() == "4"
        assert (folder / "deep/c/x").read_text() == "5"
        assert os.readlink(folder / "link") == "/etc/passwd"
        assert site.taken_bytes > 0
        (folder / "deep/b").write_text("changed")
        (folder / "locked").mkdir()
        (folder / "locked" / "file").write_text("x")
        (folder / "locked").chmod(0)
    assert is_clean(site)
    assert (over / "deep/b").read_text() == "two" and (base / "deep/b").read_text() == "2"


async def test_a_folder_beyond_the_disk_is_refused_and_leaves_nothing(
    site: Site, tmp_path: Path
) -> None:
    base = layer(tmp_path / "base", {str(number): "x" * 100_000 for number in range(20)})
    async with Environment(site) as environment:
        with pytest.raises(EnvironmentFailed, match="1048576 bytes of disk"):
            await environment.prepare(FolderNeed(layers=(base,)))
        assert is_clean(site)
        with pytest.raises(EnvironmentFailed, match="FileNotFoundError"):
            await environment.prepare(FolderNeed(layers=(tmp_path / "nothing",)))
    assert is_clean(site)


async def test_a_cancelled_copy_leaves_nothing(site: Site, tmp_path: Path) -> None:
    base = layer(tmp_path / "base", {f"{number % 7}/{number}": "x" for number in range(200)})
    async with Environment(site) as environment:
        environment.prepare(FolderNeed(layers=(base,)))
        while not list(site.folder.glob("workspace-*/*")):
            await asyncio.sleep(0)
    assert is_clean(site)


async def test_a_database_is_filled_and_can_be_read(site: Site) -> None:
    script = "CREATE TABLE t (x); INSERT INTO t VALUES (1), (2);"
    async with Environment(site) as environment:
        path = await environment.prepare(DatabaseNeed(script=script, max_bytes=1 << 16))
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("SELECT sum(x) FROM t").fetchall() == [(3,)]
    assert is_clean(site)


GROW = """CREATE TABLE t AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)
SELECT x, hex(randomblob(500)) FROM n"""


@pytest.mark.parametrize(
    ("need", "told"),
    [
        (DatabaseNeed(script=GROW, max_bytes=1 << 16), "full"),
        (DatabaseNeed(script="CREATE", max_bytes=1 << 16), "OperationalError"),
        (DatabaseNeed(script="", max_bytes=1 << 30), "bytes of disk"),
    ],
)
async def test_a_database_that_cannot_be_is_told_of(
    site: Site, need: DatabaseNeed, told: str
) -> None:
    async with Environment(site) as environment:
        with pytest.raises(EnvironmentFailed, match=told):
            await environment.prepare(need)
    assert is_clean(site)


async def test_a_script_without_end_is_stopped(site: Site) -> None:
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
    async with Environment(site) as environment:
        environment.prepare(DatabaseNeed(script=endless, max_bytes=1 << 16))
        while not list(site.folder.glob("database-*/database.sqlite")):
            await asyncio.sleep(0)
    assert is_clean(site)


async def test_ports_are_different_free_and_counted(site: Site) -> None:
    async with Environment(site) as environment:
        ports = [await environment.prepare(PortNeed()) for _ in range(2)]
        assert len(set(ports)) == 2
        for port in ports:
            with socket.create_server(("127.0.0.1", port)):
                pass
        with pytest.raises(EnvironmentFailed, match="All 2 ports"):
            await environment.prepare(PortNeed())
    assert is_clean(site)


SERVE = """import socket, sys, time, os
if os.fork() == 0: time.sleep(60)
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True: server.accept()"""


async def test_a_process_is_ready_when_it_listens_and_ends_with_its_children(site: Site) -> None:
    async with Environment(site) as environment:
        port = await environment.prepare(PortNeed())
        need = ProcessNeed(argv=(*PYTHON, SERVE, str(port)), port=port)
        pid = await environment.prepare(need)
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        await writer.wait_closed()
        assert len(session(pid)) == 2
    assert session(pid) == [] and is_clean(site)


async def test_children_that_die_late_are_waited_for(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = os.killpg

    def kill(group: int, number: int) -> None:
        if number == signal.SIGKILL:
            asyncio.get_running_loop().call_later(0.1, at_once, group, number)
        else:
            at_once(group, number)

    monkeypatch.setattr(os, "killpg", kill)
    code = """import os, signal, time
if os.fork() == 0: signal.signal(signal.SIGTERM, signal.SIG_IGN); open('x', 'w')
time.sleep(60)"""
    async with Environment(site) as environment:
        pid = await environment.prepare(ProcessNeed(argv=(*PYTHON, code)))
        while not (site.folder / "x").exists():
            await asyncio.sleep(0.01)
        assert len(session(pid)) == 2
    assert session(pid) == []


def session(leader: int) -> list[str]:
    """The processes of a session that run."""
    found: list[str] = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(path.name)) == leader and "Z" not in (path / "stat").read_text():
                found.append(path.name)
        except OSError:
            continue
    return found


@pytest.mark.parametrize(
    ("code", "changes", "told"),
    [
        ("raise SystemExit(3)", {"port": 1}, "ended with 3"),
        ("import time; time.sleep(60)", {"port": 1, "start_s": 0.1}, "does not listen on port 1"),
    ],
)
async def test_a_process_that_is_never_ready(
    site: Site, code: str, changes: dict[str, float], told: str
) -> None:
    need = ProcessNeed(argv=(*PYTHON, code), **changes)  # type: ignore[arg-type]
    async with Environment(site) as environment:
        with pytest.raises(EnvironmentFailed, match=told):
            await environment.prepare(need)
    assert is_clean(site)


async def test_a_process_that_does_not_want_to_end_is_killed(site: Site) -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); open('x', 'w'); time.sleep(60)"
    async with Environment(site) as environment:
        pid = await environment.prepare(ProcessNeed(argv=(*PYTHON, code), end_s=0.05))
        while not (site.folder / "x").exists():
            await asyncio.sleep(0.005)
    assert session(pid) == []


@pytest.mark.slow
def test_a_process_ends_with_its_runner(tmp_path: Path) -> None:
    """The runner is killed; nobody is left to end what it started."""
    code = f"""
import asyncio, os, signal, sys
from pathlib import Path
from weft.tools.environment import Environment, ProcessNeed, Site

async def main():
    async with Environment(Site(Path({str(tmp_path)!r}))) as environment:
        argv = (sys.executable, "-I", "-S", "-c", "import time; open('up', 'w'); time.sleep(60)")
        pid = await environment.prepare(ProcessNeed(argv=argv))
        while not Path({str(tmp_path / "up")!r}).exists():
            await asyncio.sleep(0.005)
        print(pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""
    env = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, env=env, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    pid = int(ended.stdout)
    for _ in range(200):
        if not session(pid):
            return
        time.sleep(0.005)
    pytest.fail("it still runs")


async def test_all_is_collected_in_the_opposite_order_whatever_fails(site: Site) -> None:
    log: list[str] = []

    class Noted:
        def __init__(self, name: str, error: Exception | None = None) -> None:
            self.name, self.error = name, error

        def open(self, site: Site) -> Noted:
            return self

        async def __aenter__(self) -> str:
            return self.name

        async def __aexit__(self, *_: object) -> None:
            log.append(self.name)
            if self.error is not None:
                raise self.error

    needs: list[Need[str]] = [Noted("a"), Noted("b", OSError("busy")), Noted("c")]
    with pytest.raises(EnvironmentFailed, match="could not be collected"):
        async with Environment(site) as environment:
            for need in needs:
                await environment.prepare(need)
    assert log == ["c", "b", "a"]


async def test_nothing_is_prepared_outside_of_the_context() -> None:
    environment = Environment()
    with pytest.raises(EnvironmentFailed, match="not open"):
        environment.prepare(PortNeed())
    async with environment:
        port = environment.prepare(PortNeed())
    with pytest.raises(EnvironmentFailed):
        await port
    with pytest.raises(EnvironmentFailed, match="not open"):
        environment.prepare(PortNeed())


def test_a_site_needs_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="nothing"):
        Site(tmp_path / "nothing")

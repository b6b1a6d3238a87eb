"""Which tools there are, when they are ready, and what is left behind."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.unit.tools.builtin.conftest import SMALL, Opener
from weft.errors import EnvironmentFailed, InvalidRequest, SandboxUnavailable
from weft.tools.builtin import HttpOptions, PythonResult, ToolboxOptions, open_toolbox
from weft.tools.builtin.tree import WorkspaceTree
from weft.tools.environment import Environment, WorkspaceNeed
from weft.tools.sandbox import SandboxLevel, SandboxReport
from weft.tools.sandbox.usage import children
from weft.tools.workspace import Workspace, Workspaces

NOTHING = SandboxReport(level=SandboxLevel.NONE, reasons=("bwrap: it is missing.",))


async def test_every_tool_is_there_when_it_is_asked_for(
    report: SandboxReport, workspace: Path, tmp_path: Path
) -> None:
    database = tmp_path / "d.sqlite"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE t (x)")
    options = ToolboxOptions(database=database, http=HttpOptions(hosts=("a.example",)))
    async with open_toolbox(workspace, options, report=report) as tools:
        assert tools.names == (
            *("python", "shell", "read_file", "list_files", "find_text", "write_file"),
            *("replace_text", "calculator", "sql", "http_get"),
        )
        with pytest.raises(Exception, match="readonly|refuses"):
            await tools.call("sql", {"query": "INSERT INTO t VALUES (1)"})


async def test_without_a_sandbox_code_is_refused_with_the_reason(workspace: Path) -> None:
    with pytest.raises(SandboxUnavailable, match="cannot confine code.*bwrap: it is missing"):
        async with open_toolbox(workspace, report=NOTHING):
            pytest.fail("it must not open")
    options = ToolboxOptions(python="off", has_shell=False)
    async with open_toolbox(workspace, options, report=NOTHING) as tools:
        assert "write_file" in tools and "shell" not in tools


async def test_the_workspace_may_still_be_prepared(report: SandboxReport, workspace: Path) -> None:
    ready = asyncio.Event()

    async def prepare() -> Path:
        await ready.wait()
        return workspace

    options = ToolboxOptions(limits=SMALL, quota=SMALL)
    async with open_toolbox(prepare(), options, report=report) as tools:
        assert "shell" in tools
        call = asyncio.ensure_future(tools.call("shell", {"command": "echo ready"}))
        await asyncio.sleep(0.01)
        assert not call.done()
        ready.set()
        assert "ready" in str(await call)


async def test_a_workspace_that_fails_is_told_by_the_call(report: SandboxReport) -> None:
    async def prepare() -> Path:
        raise OSError("disk full")

    async with open_toolbox(prepare(), report=report) as tools:
        for name, arguments in {"shell": {"command": "ls"}, "python": {"code": "1"}}.items():
            with pytest.raises(EnvironmentFailed, match="disk full"):
                await tools.call(name, arguments)
        for name in ("list_files", "write_file"):
            with pytest.raises(EnvironmentFailed, match="disk full") as told:
                await tools.call(name, {"path": "x", "content": "y"} if "w" in name else {})
            assert told.value.tool == name


async def test_closing_leaves_no_process(toolbox: Opener) -> None:
    before = set(children(os.getpid()))
    async with toolbox() as tools:
        await tools.call("python", {"code": "x = 1"})
        await tools.call("shell", {"command": "sleep 60 & echo x"})
        assert set(children(os.getpid())) > before
    assert set(children(os.getpid())) == before


async def test_closing_at_once_leaves_no_process(toolbox: Opener) -> None:
    before = set(children(os.getpid()))
    for _ in range(3):
        async with toolbox():
            await asyncio.sleep(0)
    assert set(children(os.getpid())) == before


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="max_chars"):
        ToolboxOptions(max_chars=0)


async def test_tools_work_in_a_workspace_that_shares_its_files(
    report: SandboxReport, tmp_path: Path
) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "large").write_bytes(b"x" * (4 << 20))
    options = ToolboxOptions(limits=SMALL, quota=SMALL, max_workspace_bytes=2 << 20)
    with Workspaces.open(tmp_path / "all") as workspaces:
        layer = workspaces.share(tmp_path / "base")
        async with Environment() as environment:
            need = WorkspaceNeed(workspaces=workspaces, layers=(layer,))
            preparation = environment.prepare(need)
            async with open_toolbox(preparation, options, report=report) as tools:
                await tools.call("write_file", {"path": "new", "content": "1"})
                counted = await tools.call("shell", {"command": "wc -c < large; cat new"})
                assert "4194304" in str(counted) and "1" in str(counted)
            path = (await preparation).path
        assert not (path / "new").exists()


@pytest.mark.parametrize("uses_overlays", [True, False])
async def test_a_workspace_is_discarded_however_its_preparation_ends(
    tmp_path: Path, uses_overlays: bool
) -> None:
    with Workspaces.open(tmp_path / "all", uses_overlays=uses_overlays) as workspaces:
        made: list[Workspace] = []
        for num_turns in range(4):
            async with Environment() as environment:
                preparation = environment.prepare(WorkspaceNeed(workspaces=workspaces))
                for _ in range(num_turns):
                    await asyncio.sleep(0)
                if num_turns == 3:
                    made.append(await preparation)
        [workspace] = made
        with pytest.raises(InvalidRequest, match="closed"):
            workspace.fork()
        assert not workspaces._living  # pyright: ignore[reportPrivateUsage]


async def test_a_call_is_cancelled_while_the_workspace_is_prepared(
    report: SandboxReport, workspace: Path
) -> None:
    ready = asyncio.get_running_loop().create_future()
    async with open_toolbox(ready, report=report) as tools:
        requests = {"shell": {"command": "ls"}, "python": {"code": "1"}, "list_files": {}}
        calls = [asyncio.ensure_future(tools.call(*request)) for request in requests.items()]
        await asyncio.sleep(0.01)
        for call in calls:
            call.cancel()
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in ended)
        ready.set_result(workspace)
        assert "1" in str(await tools.call("python", {"code": "1"}))


async def test_a_cancelled_closing_still_leaves_no_process(toolbox: Opener) -> None:
    before = set(children(os.getpid()))
    is_used = asyncio.Event()

    async def use() -> None:
        async with toolbox() as tools:
            await tools.call("python", {"code": "x = 1"})
            await tools.call("shell", {"command": "true"})
            is_used.set()

    using = asyncio.ensure_future(use())
    await is_used.wait()
    for _ in range(20):
        using.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await using
    assert set(children(os.getpid())) == before


@pytest.mark.parametrize("uses_overlays", [True, False])
async def test_code_goes_on_in_a_workspace_that_was_forked(
    report: SandboxReport, tmp_path: Path, uses_overlays: bool
) -> None:
    with Workspaces.open(tmp_path / "all", uses_overlays=uses_overlays) as workspaces:
        workspace = workspaces.create()
        options = ToolboxOptions(limits=SMALL, quota=SMALL)
        async with open_toolbox(workspace, options, report=report) as tools:
            await tools.call("python", {"code": "x = 1; open('a', 'w').write('1')"})
            fork = workspace.fork()
            WorkspaceTree(fork.path).write("b", b"2")
            fork.commit()
            code = (
                "open('c', 'w').write('3'); (sorted(__import__('os').listdir('.')), 'x' in vars())"
            )
            result = await tools.call("python", {"code": code})
            assert isinstance(result, PythonResult)
            again = await tools.call("python", {"code": "1"})
    assert result.value == "(['a', 'b', 'c'], False)" and "forked" in result.notice
    assert isinstance(again, PythonResult) and again.notice == ""


@pytest.mark.parametrize("level", list(SandboxLevel)[1:])
async def test_code_and_commands_work_at_every_level(
    report: SandboxReport, workspace: Path, level: SandboxLevel
) -> None:
    if report.level < level:
        pytest.skip(f"no {level.name} sandbox here")
    options = ToolboxOptions(limits=SMALL, quota=SMALL)
    async with open_toolbox(workspace, options, report=report.lowered(level)) as tools:
        await tools.call("python", {"code": "open('f', 'w').write('1'); x = 2"})
        assert "3" in str(await tools.call("python", {"code": "print('out'); x + 1"}))
        assert "stdout='1'" in str(await tools.call("shell", {"command": "cat f"}))

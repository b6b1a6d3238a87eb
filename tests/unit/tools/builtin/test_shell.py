"""Command lines in the real sandbox."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.unit.tools.builtin.conftest import MIB, Opener
from weft.tools import ToolRegistry, ToolRunner
from weft.tools.builtin import ShellResult


async def run(tools: ToolRegistry, command: str, **options: Any) -> ShellResult:
    tool = tools.get("shell")
    result: ShellResult = await tool.invoke({"command": command, **options})
    assert tool.load(tool.dump(result)) == result
    return result


async def test_a_command_line_works_in_the_workspace(toolbox: Opener, workspace: Path) -> None:
    async with toolbox(python="off") as tools:
        fine = await run(tools, "echo one > f; cat f; echo two >&2; ls | wc -l")
        failed = await run(tools, "exit 7")
        missing = await run(tools, "no-such-program")
    assert fine == ShellResult(exit_code=0, stdout="one\n1\n", stderr="two\n")
    assert (failed.exit_code, failed.notice) == (7, "")
    assert missing.exit_code == 127 and "not found" in missing.stderr
    assert (workspace / "f").read_text() == "one\n"


async def test_long_output_keeps_head_and_tail(toolbox: Opener) -> None:
    async with toolbox(python="off") as tools:
        cut = await run(tools, "seq 10000")
        dropped = await run(tools, "seq 100000")
        flood = await run(tools, "yes")
    for result in (cut, dropped):
        assert result.stdout.startswith("1\n2\n") and "characters left out" in result.stdout
        assert len(result.stdout) < 1100
    assert cut.stdout.endswith("9999\n10000\n") and cut.notice == ""
    assert dropped.stdout.endswith("99999\n100000\n") and "bytes were dropped" in dropped.notice
    assert flood.exit_code is None and "flood" in flood.notice


@pytest.mark.parametrize(
    ("command", "options", "limit", "told"),
    [
        ("sleep 60", {"timeout_s": 0.2}, "wall", "time limit of 0.2 s"),
        ("head -c 30m /dev/zero > f", {}, "workspace", "workspace may grow"),
        ("kill -9 $$", {}, None, "signal 9"),
    ],
)
async def test_every_limit_is_told(
    toolbox: Opener, command: str, options: dict[str, Any], limit: str | None, told: str
) -> None:
    async with toolbox(python="off") as tools:
        result = await run(tools, command, **options)
        after = await run(tools, "echo alive")
    assert result.exit_code != 0 and result.limit == limit and told in result.notice
    assert (after.stdout, after.notice) == ("alive\n", "")


@pytest.mark.slow
async def test_a_full_workspace_still_lets_delete(toolbox: Opener, workspace: Path) -> None:
    (workspace / "old").write_bytes(b"x" * (3 * MIB))
    async with toolbox(python="off", max_workspace_bytes=2 * MIB) as tools:
        refused = await run(tools, "head -c 3m /dev/zero > new; sync; sleep 0.3")
        removed = await run(tools, "rm -f old new && ls")
        fine = await run(tools, "head -c 1m /dev/zero > new")
    assert "workspace may grow" in refused.notice
    assert (removed.exit_code, removed.stdout, fine.exit_code) == (0, "", 0)


@pytest.mark.parametrize("delay_s", [0.0, 0.02, 0.2])
async def test_cancelled_in_every_phase(toolbox: Opener, delay_s: float) -> None:
    runner = ToolRunner()
    async with toolbox(python="off") as tools:
        tool = tools.get("shell")
        call = asyncio.ensure_future(runner.call(tool, {"command": "sleep 60"}))
        await asyncio.sleep(delay_s)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert (await run(tools, "echo alive")).stdout == "alive\n"
        assert tool.num_running == tool.num_abandoned == 0
    assert runner.statistics.of("shell").counts["cancelled"] == 1

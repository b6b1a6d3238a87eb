"""Every limit, every way to end, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests.unit.tools.sandbox.conftest import ENDED_ITSELF_S, MIB, Opener
from tests.unit.tools.sandbox.watching import (
    BEGUN_S,
    cgroups,
    is_running,
    launchers,
    processes,
    until,
)
from weft.tools.sandbox import Sandbox, SandboxLevel, SandboxLimits, SandboxReport, session
from weft.tools.sandbox.frames import unpack_sizes

LEVELS = [SandboxLevel.FULL, SandboxLevel.BWRAP, SandboxLevel.LANDLOCK]
ATTEMPTS = 3
"""The fastest counts where time does: what stalls the machine is no delay of the sandbox."""


def small(**changes: float) -> SandboxLimits:
    values: dict[str, float] = {"memory_bytes": 64 * MIB, "wall_s": 10, "max_processes": 16}
    return SandboxLimits(**(values | changes))  # type: ignore[arg-type]


async def test_memory_bomb(sandbox_at: Opener) -> None:
    async with sandbox_at(limits=small()) as sandbox:
        result = await sandbox.run(["/usr/bin/python3", "-ISc", "x = bytearray(1 << 28)"])
        after = await sandbox.run(["echo", "alive"])
    assert (result.limit, result.signal) == ("memory", signal.SIGKILL)
    assert 60 * MIB < result.peak_memory_bytes <= 64 * MIB
    assert "64 MiB" in result.advice and "smaller parts" in result.advice
    assert (after.stdout, after.limit) == (b"alive\n", None)


async def test_a_full_tmp_counts_as_memory(sandbox_at: Opener) -> None:
    async with sandbox_at(limits=small()) as sandbox:
        result = await sandbox.run(["sh", "-c", "head -c 80m /dev/zero > /tmp/x"])
    assert result.exit_code != 0
    assert result.peak_memory_bytes <= 64 * MIB


@pytest.mark.parametrize("level", [SandboxLevel.BWRAP, SandboxLevel.LANDLOCK])
async def test_memory_bomb_below_full(sandbox_at: Opener, level: SandboxLevel) -> None:
    async with sandbox_at(level, small()) as sandbox:
        result = await sandbox.run(["/usr/bin/python3", "-ISc", "x = bytearray(1 << 28)"])
    assert b"MemoryError" in result.stderr
    assert (result.exit_code, result.limit) == (1, "memory")
    assert result.limits.memory_bytes == 64 * MIB
    assert "64 MiB" in result.advice and "smaller parts" in result.advice
    assert f"{result.peak_memory_bytes / MIB:.1f} MiB" in result.advice


@pytest.mark.parametrize("level", [SandboxLevel.BWRAP, SandboxLevel.LANDLOCK])
async def test_refused_processes_below_full(sandbox_at: Opener, level: SandboxLevel) -> None:
    script = "for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done; true"
    async with sandbox_at(level, small(max_processes=4)) as sandbox:
        result = await sandbox.run(["sh", "-c", script])
        calm = await sandbox.run(["sh", "-c", "sleep 0 & wait; echo 'MemoryError'; false"])
    assert (result.limit, result.limits.max_processes) == ("processes", 4)
    assert "limit of 4" in result.advice
    assert (calm.limit, calm.advice) == (None, ""), "what it says to others is no complaint"


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
async def test_fork_bomb(sandbox_at: Opener, level: SandboxLevel) -> None:
    bomb = "import os\nwhile True:\n try:\n  os.fork()\n except OSError:\n  pass"
    async with sandbox_at(level, small(wall_s=0.3)) as sandbox:
        ended: list[float] = []
        for _ in range(ATTEMPTS):
            began = time.monotonic()
            result = await sandbox.run(["/usr/bin/python3", "-ISc", bomb])
            ended.append(time.monotonic() - began)
            assert processes("  os.fork()") == []
            assert result.limit == "wall"
    assert min(ended) < 1.5


async def test_refused_forks_are_told(sandbox_at: Opener) -> None:
    script = "for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done; true"
    async with sandbox_at(limits=small(max_processes=4)) as sandbox:
        result = await sandbox.run(["sh", "-c", script])
    assert result.limit == "processes"
    assert "limit of 4" in result.advice


@pytest.mark.parametrize("level", LEVELS)
async def test_flood(sandbox_at: Opener, level: SandboxLevel) -> None:
    async with sandbox_at(level, small(output_bytes=10_000)) as sandbox:
        results = [await sandbox.run(["yes"]) for _ in range(ATTEMPTS)]
    for result in results:
        assert result.limit == "output"
        assert result.is_truncated and len(result.stdout) == 10_000
        assert "flood" in result.advice
    assert min(result.wall_s for result in results) < 1


async def test_long_output_keeps_head_and_tail(sandbox_at: Opener) -> None:
    async with sandbox_at(limits=small(output_bytes=1000)) as sandbox:
        result = await sandbox.run(["seq", "1000"])
    whole = b"".join(b"%d\n" % number for number in range(1, 1001))
    assert result.stdout == whole[:500] + whole[-500:]
    assert result.dropped_bytes == len(whole) - 1000
    assert (result.limit, result.is_truncated, result.exit_code) == (None, True, 0)
    assert str(result.dropped_bytes) in result.advice


@pytest.mark.parametrize("level", LEVELS)
async def test_wall_clock(sandbox_at: Opener, level: SandboxLevel) -> None:
    async with sandbox_at(level) as sandbox:
        limits = small(wall_s=0.2)
        results = [await sandbox.run(["sleep", "30"], limits=limits) for _ in range(ATTEMPTS)]
    for result in results:
        assert (result.limit, result.signal) == ("wall", signal.SIGKILL)
        assert "0.2 s" in result.advice
    assert 0.2 <= min(result.wall_s for result in results) < 1.2


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
async def test_disk(sandbox_at: Opener, level: SandboxLevel, workspace: Path) -> None:
    limits = small(workspace_bytes=2 * MIB)
    many = "i=0; while true; do i=$((i+1)); : > f$i; done"
    async with sandbox_at(level, limits) as sandbox:
        one = await sandbox.run(["sh", "-c", "head -c 9m /dev/zero > big; rm big"])
        full = await sandbox.run(["sh", "-c", "for i in 1 2 3; do head -c 1m /dev/zero > $i; done"])
        # On a slow machine it is ended while it writes, else it has written 3 MiB.
        grown = sum(max(4096, path.stat().st_blocks * 512) for path in workspace.iterdir())
        entries = await sandbox.run(["sh", "-c", many])
    assert b"" == one.stdout
    assert full.limit == "workspace"
    assert (full.growth_bytes, full.limits.workspace_bytes) == (grown, 2 * MIB)
    assert 2 * MIB < grown <= 3 * MIB
    said = "3 MiB" if grown == 3 * MIB else f"{grown / MIB:.1f} MiB"
    assert "2 MiB" in full.advice and f"{said} at the end" in full.advice
    assert (entries.limit, entries.signal) == ("workspace", signal.SIGKILL)


@pytest.mark.parametrize("level", LEVELS)
async def test_daemons_die_with_the_command(sandbox_at: Opener, level: SandboxLevel) -> None:
    mark = f"6{level}.{os.getpid()}"
    script = f"setsid -f sleep {mark}; (setsid sleep {mark} &); nohup sleep {mark} & sleep 0.05"
    async with sandbox_at(level) as sandbox:
        result = await sandbox.run(["sh", "-c", script])
        assert processes(mark) == []
    assert (result.exit_code, result.wall_s < 5) == (0, True)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.usefixtures("patient_end")
async def test_cancellation_kills_the_tree(
    sandbox_at: Opener, level: SandboxLevel, report: SandboxReport
) -> None:
    mark = f"7{level}.{os.getpid()}"
    script = f"for i in 1 2 3 4 5 6 7 8 9 10; do setsid sleep {mark} & done; sleep {mark}"
    async with sandbox_at(level) as sandbox:
        own = await launchers()
        call = asyncio.create_task(sandbox.run(["sh", "-c", script]))
        await until(lambda: len(processes(mark)) > 10, within_s=BEGUN_S)
        assert bool(cgroups(report, own)) == (level == SandboxLevel.FULL)
        began = time.monotonic()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert time.monotonic() - began < ENDED_ITSELF_S
        assert (processes(mark), cgroups(report, own)) == ([], [])
        after = await sandbox.run(["echo", "next"])
    assert after.stdout == b"next\n"


async def test_leaving_the_context_ends_calls(sandbox_at: Opener, report: SandboxReport) -> None:
    mark = f"8.{os.getpid()}"
    async with sandbox_at(SandboxLevel.LANDLOCK) as sandbox:
        calls = [asyncio.create_task(sandbox.run(["sleep", mark])) for _ in range(2)]
        await until(lambda: len(processes(mark)) >= 2, within_s=BEGUN_S)
        assert len(own := await launchers()) == 2
    assert (processes(mark), cgroups(report, own), await launchers()) == ([], [], [])
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result).__name__ for result in results] == ["SandboxUnavailable"] * 2


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
async def test_a_killed_runner_leaves_nothing(
    report: SandboxReport, workspace: Path, level: SandboxLevel
) -> None:
    if report.level < level:
        pytest.skip(f"no {level.name} sandbox here")
    mark = f"9{level}.{os.getpid()}"
    code = textwrap.dedent(f"""
        import asyncio
        from pathlib import Path
        from weft.tools.sandbox import Sandbox, SandboxLevel, SandboxLimits, probe
        async def main():
            report = probe().lowered(SandboxLevel({int(level)}))
            async with Sandbox.open(report, Path({str(workspace)!r}), SandboxLimits()) as sandbox:
                await sandbox.run(["sh", "-c", "setsid -f sleep {mark}; sleep {mark}"])
        asyncio.run(main())
    """)
    paths = ":".join(path for path in sys.path if path)
    runner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, env=os.environ | {"PYTHONPATH": paths}
    )
    began = time.monotonic()
    while len([pid for pid in processes(mark) if pid != str(runner.pid)]) < 2:
        assert time.monotonic() - began < 20 and runner.returncode is None
        await asyncio.sleep(0.02)
    tree = Path(f"/proc/{runner.pid}/task/{runner.pid}/children").read_text().split()
    assert bool(cgroups(report, tree)) == (level == SandboxLevel.FULL)
    runner.kill()
    await runner.wait()
    await until(lambda: not processes(mark) and not cgroups(report, tree))
    await until(lambda: not any(is_running(pid) for pid in tree))
    assert str(workspace) not in Path("/proc/mounts").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
async def test_fifty_calls_leave_every_count(
    sandbox_at: Opener, report: SandboxReport, level: SandboxLevel
) -> None:
    async with sandbox_at(level) as sandbox:
        await sandbox.run(["true"])
        (launcher,) = own = await launchers()

        def counts() -> tuple[int, int, int]:
            open_files = len(os.listdir(f"/proc/{launcher}/fd"))
            children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
            return open_files, len(children), len(cgroups(report, own))

        before = counts()
        for number in range(50):
            result = await sandbox.run(["sh", "-c", f"setsid -f sleep 9; exit {number % 5}"])
            assert result.exit_code == number % 5
        assert counts() == before == (before[0], 0, 0)
    assert await launchers() == []


async def test_a_forced_end_is_not_needed(sandbox_at: Opener) -> None:
    """Two cancellations at once: the second must not leave the first one's work undone."""
    mark = f"5.{os.getpid()}"
    async with sandbox_at(SandboxLevel.LANDLOCK) as sandbox:
        assert isinstance(sandbox, Sandbox)
        call = asyncio.create_task(sandbox.run(["sleep", mark]))
        await until(lambda: bool(processes(mark)), within_s=BEGUN_S)
        call.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert processes(mark) == []


@pytest.mark.usefixtures("patient_end")
async def test_cancellation_at_any_moment_of_a_call(sandbox_at: Opener) -> None:
    async with sandbox_at(SandboxLevel.LANDLOCK, small(output_bytes=4 * MIB)) as sandbox:
        for delay_s in (0.005, 0.015, 0.02, 0.025):
            call = asyncio.create_task(sandbox.run(["head", "-c", "4m", "/dev/zero"]))
            await asyncio.sleep(delay_s)
            began = time.monotonic()
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            assert time.monotonic() - began < ENDED_ITSELF_S


@pytest.mark.usefixtures("patient_end")
async def test_cancellation_while_a_large_answer_is_on_its_way(
    sandbox_at: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sandbox_at(SandboxLevel.LANDLOCK, small(output_bytes=4 * MIB)) as sandbox:
        call = asyncio.create_task(sandbox.run(["head", "-c", "4m", "/dev/zero"]))
        cancelled_at: list[float] = []

        def cancel_at_sizes(prefix: bytes) -> tuple[int, int]:
            head_bytes, body_bytes = unpack_sizes(prefix)
            if body_bytes > 2 * MIB:
                cancelled_at.append(time.monotonic())
                call.cancel()
            return head_bytes, body_bytes

        monkeypatch.setattr(session, "unpack_sizes", cancel_at_sizes)
        with pytest.raises(asyncio.CancelledError):
            await call
        assert time.monotonic() - cancelled_at[0] < ENDED_ITSELF_S
    assert await launchers() == []


@pytest.mark.parametrize("level", LEVELS)
async def test_deleted_files_count_while_they_are_open(
    sandbox_at: Opener, level: SandboxLevel
) -> None:
    code = (
        "import os, time\n"
        "for name in 'abc':\n"
        "    file = os.open(name, os.O_CREAT | os.O_WRONLY)\n"
        "    os.unlink(name)\n"
        "    os.write(file, bytes(1 << 20))\n"
        "time.sleep(30)"
    )
    argv = ["/usr/bin/python3", "-ISc", code]
    async with sandbox_at(level, small(workspace_bytes=2 * MIB, wall_s=25)) as sandbox:
        results = [await sandbox.run(argv) for _ in range(ATTEMPTS)]
    for result in results:
        assert (result.limit, result.signal) == ("workspace", signal.SIGKILL)
    assert min(result.wall_s for result in results) < 5


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_thousand_calls_leave_every_count(
    sandbox_at: Opener, report: SandboxReport
) -> None:
    """Commands that end well, badly, by limits and by cancellation, at each level in turn."""
    levels = [level for level in LEVELS if level <= report.level]
    if not levels:
        pytest.skip(f"no sandbox here: {' '.join(report.reasons)}")
    for level in levels:
        async with sandbox_at(level, small(wall_s=5)) as sandbox:
            await sandbox.run(["true"])
            before = counts(report, await launchers())
            for number in range(1000 // len(levels) + 1):
                await one_call(sandbox, number)
            await sandbox.run(["true"])
            assert counts(report, await launchers()) == before
        assert await launchers() == []


async def one_call(sandbox: Sandbox, number: int) -> None:
    match number % 20:
        case 0 if number % 100 == 0:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(sandbox.run(["sleep", "9"]), 0.05)
        case 5:
            result = await sandbox.run(["yes"], limits=small(output_bytes=100))
            assert result.limit == "output"
        case 10:
            async with sandbox.hold(["cat"]) as held:
                await held.write(b"x")
                assert await held.read() == b"x"
                await held.close_input()
                assert (await held.wait()).exit_code == 0
        case 15:
            async with sandbox.hold(["sh", "-c", "setsid -f sleep 9; cat"]) as held:
                await held.write(b"x")
        case _:
            result = await sandbox.run(["sh", "-c", f"setsid -f sleep 9; exit {number % 5}"])
            assert result.exit_code == number % 5


def ownerless(report: SandboxReport) -> list[Path]:
    """The cgroups of launchers that are no more; there may be other sandboxes on the machine."""
    return [path for path in cgroups(report, ["*"]) if not is_running(path.name.split("-")[1])]


def counts(report: SandboxReport, own: list[str]) -> dict[str, int]:
    """What calls could leave behind, in this process, in its launcher and in the system."""
    (launcher,) = own
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    return {
        "launchers": len(own),
        "processes of the launcher": len(children),
        "files of the launcher": len(os.listdir(f"/proc/{launcher}/fd")),
        "threads of the launcher": len(os.listdir(f"/proc/{launcher}/task")),
        "mounts of the launcher": len(Path(f"/proc/{launcher}/mounts").read_text().splitlines()),
        "cgroups": len(cgroups(report, own)) + len(ownerless(report)),
        "processes": len(processes("sleep\0009")),
        "files": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")),
        "mounts": len(Path("/proc/self/mounts").read_text().splitlines()),
    }

"""Commands that wait at their memory limit until somebody decides."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from tests.unit.tools.sandbox.conftest import MIB
from weft.tools.sandbox import Sandbox, SandboxLevel, SandboxLimits, SandboxReport
from weft.tools.sandbox.cgroups import Cgroups
from weft.tools.sandbox.group import CallGroup
from weft.tools.sandbox.pause import MemoryPause

HUNGRY = "x = bytearray(100 << 20); print(len(x) >> 20)"
PYTHON = ["/usr/bin/python3", "-I", "-S", "-c"]
LIMITS = SandboxLimits(memory_bytes=64 * MIB, wall_s=20)
BUSY_S = 8
"""Longer than a call may wait and a command may take to start, on however slow a machine."""
NUMBER = 1_000_000
STEPWISE = """
kept = []
while size := int(input()):
    kept.append(bytearray(size << 20))
    print(sum(map(len, kept)) >> 20, flush=True)
"""


@pytest.fixture
def version_1(report: SandboxReport) -> SandboxReport:
    if report.level < SandboxLevel.FULL or report.cgroups is None or report.cgroups.version != 1:
        pytest.skip("no cgroups of version 1 here")
    return report


class Stopped:
    """A process in a cgroup of its own, which takes as many MiB as it is told to."""

    def __init__(self, group: CallGroup, memory: Path, stdin: IO[bytes], stdout: IO[bytes]) -> None:
        self.memory = memory
        self.asked = 0
        self._stdin = stdin
        self._stdout = stdout
        self.poll = select.poll()
        self.pause = MemoryPause(group, self.poll, self._ask)

    def _ask(self) -> None:
        self.asked += 1

    def take(self, mebibytes: int) -> None:
        self._stdin.write(b"%d\n" % mebibytes)
        self._stdin.flush()

    def has(self) -> int:
        return int(self._stdout.readline())

    def is_told(self) -> bool:
        return bool(self.poll.poll(10_000))


@contextmanager
def stopping(cgroups: Cgroups) -> Generator[tuple[Stopped, CallGroup]]:
    group = CallGroup(cgroups.plan(LIMITS, pauses=True), NUMBER)
    group.create()
    try:
        name = f"weft-{os.getpid()}-{NUMBER}"
        made = [path for base in cgroups.bases for path in Path(base).glob(name)]
        with subprocess.Popen(
            [*PYTHON, STEPWISE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdin is not None and process.stdout is not None
            try:
                for folder in made:
                    (folder / "tasks").write_text(str(process.pid))
                memory = next(path for path in made if (path / "memory.oom_control").exists())
                stopped = Stopped(group, memory, process.stdin, process.stdout)
                try:
                    yield stopped, group
                finally:
                    stopped.pause.close()
            finally:
                process.kill()
    finally:
        group.remove()


class Roomy(CallGroup):
    """A group that tells of stops while its call has room."""

    num_woken = 0

    def watch_limit(self) -> int:
        return os.eventfd(1, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def is_at_limit(self) -> bool:
        return False

    def wake(self) -> None:
        self.num_woken += 1


async def test_more_memory_lets_it_go_on(version_1: SandboxReport, workspace: Path) -> None:
    asked: list[int] = []

    def more(limits: SandboxLimits) -> int:
        asked.append(limits.memory_bytes)
        return (64 + 32 * len(asked)) * MIB

    async with Sandbox.open(version_1, workspace, LIMITS, more_memory=more) as sandbox:
        result = await sandbox.run([*PYTHON, HUNGRY])
        assert (result.stdout, result.limit, result.advice) == (b"100\n", None, "")
        assert result.limits.memory_bytes == 128 * MIB >= result.peak_memory_bytes > 100 * MIB
        assert asked == [64 * MIB] * 2
        calm = await sandbox.run([*PYTHON, "print(1)"])
        assert (calm.stdout, calm.limits, len(asked)) == (b"1\n", LIMITS, 2)
        async with sandbox.hold([*PYTHON, HUNGRY]) as held:
            assert await held.read() == b"100\n"
            assert (await held.wait()).exit_code == 0


@pytest.mark.parametrize("memory_bytes", [32 * MIB, 64 * MIB, 64 * MIB + 1])
async def test_no_more_than_it_has_is_a_refusal(
    version_1: SandboxReport, workspace: Path, memory_bytes: int
) -> None:
    """A page is the least that counts: less than that wakes nothing."""

    def same(limits: SandboxLimits) -> int:
        return memory_bytes

    async with Sandbox.open(version_1, workspace, LIMITS, more_memory=same) as sandbox:
        result = await sandbox.run([*PYTHON, HUNGRY])
        assert (result.limit, result.signal, result.limits) == ("memory", 9, LIMITS)


async def test_a_refusal_kills(version_1: SandboxReport, workspace: Path) -> None:
    asked: list[int] = []

    def refuse(limits: SandboxLimits) -> None:
        asked.append(limits.memory_bytes)

    async with Sandbox.open(version_1, workspace, LIMITS, more_memory=refuse) as sandbox:
        result = await sandbox.run([*PYTHON, HUNGRY])
        assert (result.limit, result.signal, asked) == ("memory", 9, [64 * MIB])
        assert "64 MiB" in result.advice
        assert (await sandbox.run(["echo", "next"])).stdout == b"next\n"


@pytest.mark.slow
async def test_nobody_waits_for_ever(version_1: SandboxReport, workspace: Path) -> None:
    """The one who is asked does not answer: here because the whole process is busy."""

    def busy(limits: SandboxLimits) -> None:
        time.sleep(BUSY_S)

    async with Sandbox.open(version_1, workspace, LIMITS, more_memory=busy) as sandbox:
        result = await sandbox.run([*PYTHON, HUNGRY])
        assert (result.limit, result.signal) == ("memory", 9)
        assert 2 <= result.wall_s < BUSY_S
        assert (await sandbox.run(["echo", "next"])).stdout == b"next\n"


async def test_below_full_nobody_is_asked(report: SandboxReport, workspace: Path) -> None:
    if report.level < SandboxLevel.LANDLOCK:
        pytest.skip("no sandbox here")

    def never(limits: SandboxLimits) -> int:
        raise AssertionError("asked")

    low = report.lowered(SandboxLevel.LANDLOCK)
    async with Sandbox.open(low, workspace, LIMITS, more_memory=never) as sandbox:
        assert (await sandbox.run([*PYTHON, HUNGRY])).limit == "memory"


def test_growing_in_two_steps_asks_once(version_1: SandboxReport) -> None:
    """The limit with swap is raised first, which wakes the call: it is stopped, and told, again."""
    assert version_1.cgroups is not None
    with stopping(version_1.cgroups) as (call, _):
        call.take(100)
        assert call.is_told()
        call.pause.notice()
        (call.memory / "memory.memsw.limit_in_bytes").write_text(str(128 * MIB))
        assert call.is_told()
        call.pause.decide(128 * MIB)
        call.pause.notice()
        assert (call.has(), call.asked) == (100, 1)
        call.take(40)
        assert call.is_told()
        call.pause.notice()
        assert call.asked == 2


def test_a_call_that_is_woken_with_no_more_is_stopped_again(version_1: SandboxReport) -> None:
    assert version_1.cgroups is not None
    with stopping(version_1.cgroups) as (call, group):
        call.take(100)
        for _ in range(3):
            assert call.is_told()
            call.pause.notice()
            assert (call.asked, group.is_at_limit()) == (1, True)
            group.wake()
        assert call.is_told()
        call.pause.decide(128 * MIB)
        assert call.has() == 100
        assert not group.is_at_limit()


def test_a_call_that_has_room_is_woken_and_nobody_is_asked() -> None:
    """It may have stood still after the raise that should have woken it."""
    asked: list[None] = []
    group, poll = Roomy(None, 1), select.poll()
    pause = MemoryPause(group, poll, lambda: asked.append(None))
    pause.notice()
    assert (asked, group.num_woken, poll.poll(0)) == ([], 1, [])
    pause.close()

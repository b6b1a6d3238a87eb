"""Commands that wait at their memory limit until somebody decides."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.unit.tools.sandbox.conftest import MIB
from weft.tools.sandbox import Sandbox, SandboxLevel, SandboxLimits, SandboxReport

HUNGRY = "x = bytearray(100 << 20); print(len(x) >> 20)"
PYTHON = ["/usr/bin/python3", "-I", "-S", "-c"]
LIMITS = SandboxLimits(memory_bytes=64 * MIB, wall_s=20)


@pytest.fixture
def version_1(report: SandboxReport) -> SandboxReport:
    if report.level < SandboxLevel.FULL or report.cgroups is None or report.cgroups.version != 1:
        pytest.skip("no cgroups of version 1 here")
    return report


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
        time.sleep(3)

    async with Sandbox.open(version_1, workspace, LIMITS, more_memory=busy) as sandbox:
        result = await sandbox.run([*PYTHON, HUNGRY])
        assert (result.limit, result.signal) == ("memory", 9)
        assert 2 <= result.wall_s < 2.9
        assert (await sandbox.run(["echo", "next"])).stdout == b"next\n"


async def test_below_full_nobody_is_asked(report: SandboxReport, workspace: Path) -> None:
    if report.level < SandboxLevel.LANDLOCK:
        pytest.skip("no sandbox here")

    def never(limits: SandboxLimits) -> int:
        raise AssertionError("asked")

    low = report.lowered(SandboxLevel.LANDLOCK)
    async with Sandbox.open(low, workspace, LIMITS, more_memory=never) as sandbox:
        assert (await sandbox.run([*PYTHON, HUNGRY])).limit == "memory"

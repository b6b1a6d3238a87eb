"""Commands that are talked to while they run."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path

import pytest

from tests.unit.tools.sandbox.conftest import ENDED_ITSELF_S, MIB, Opener
from tests.unit.tools.sandbox.watching import BEGUN_S, cgroups, launchers, processes, until
from weft.errors import SandboxUnavailable
from weft.tools.sandbox import HeldCommand, SandboxLevel, SandboxLimits, SandboxReport

LEVELS = [SandboxLevel.FULL, SandboxLevel.BWRAP, SandboxLevel.LANDLOCK]
LIMITS = SandboxLimits(memory_bytes=128 * MIB, wall_s=20, output_bytes=MIB)
REPL = """
import json, sys
names = {}
for line in sys.stdin:
    exec(json.loads(line), names)
    print(json.dumps(names["answer"]), flush=True)
sys.exit(3)
"""
PYTHON = ["/usr/bin/python3", "-I", "-S", "-c"]


async def read_line(held: HeldCommand) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        data = await held.read()
        assert data, f"it ended behind {line!r}"
        line += data
    return line


async def read_all(held: HeldCommand) -> bytes:
    whole = bytearray()
    while data := await held.read():
        whole += data
    return bytes(whole)


async def say(held: HeldCommand, code: str) -> object:
    await held.write(json.dumps(code).encode() + b"\n")
    return json.loads(await read_line(held))


@pytest.mark.parametrize("level", LEVELS)
async def test_a_conversation_keeps_its_state(sandbox_at: Opener, level: SandboxLevel) -> None:
    async with sandbox_at(level, LIMITS) as sandbox:
        async with sandbox.hold([*PYTHON, REPL], env={"NAME": "x"}) as held:
            assert await say(held, "import os; answer = [os.environ['NAME'], os.getcwd()]")
            assert await say(held, "answer = n = 20") == 20
            assert await say(held, "answer = n + 1") == 21
            await held.close_input()
            assert await held.read() == b""
            result = await held.wait()
            assert await held.wait() is result
            await held.write(b"to nobody")
        assert (result.exit_code, result.stdout, result.stderr) == (3, b"", b"")
        (launcher,) = await launchers()
        after = await sandbox.run(["cat"], stdin=b"next")
        assert (after.stdout, await launchers()) == (b"next", [launcher])


async def test_much_passes_both_ways_at_once(sandbox_at: Opener) -> None:
    """More than all pipes hold: whoever waited for the other would wait for ever."""
    sent = os.urandom(3 * MIB)
    limits = SandboxLimits(memory_bytes=128 * MIB, wall_s=20, output_bytes=4 * MIB)
    async with sandbox_at(SandboxLevel.LANDLOCK, limits) as sandbox, sandbox.hold(["cat"]) as held:

        async def send() -> None:
            await held.write(sent)
            await held.close_input()

        _, got = await asyncio.gather(send(), read_all(held))
    assert got == sent


@pytest.mark.usefixtures("patient_end")
async def test_writing_waits_for_a_command_that_does_not_read(sandbox_at: Opener) -> None:
    async with sandbox_at(SandboxLevel.LANDLOCK, LIMITS) as sandbox:
        async with sandbox.hold(["sleep", "10"]) as held:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(held.write(bytes(8 * MIB)), 0.2)
            began = time.monotonic()
        assert time.monotonic() - began < ENDED_ITSELF_S, "the launcher did not end by itself"
        assert await launchers() == [], "its end is its launcher's"


async def test_a_cancelled_read_loses_nothing(sandbox_at: Opener) -> None:
    async with sandbox_at(SandboxLevel.LANDLOCK, LIMITS) as sandbox:
        async with sandbox.hold(["cat"]) as held:
            for number in range(5):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(held.read(), 0.01)
                await held.write(b"%d\n" % number)
                assert await read_line(held) == b"%d\n" % number


@pytest.mark.parametrize("level", LEVELS)
async def test_leaving_kills_the_tree(
    sandbox_at: Opener, level: SandboxLevel, report: SandboxReport
) -> None:
    mark = f"4{level}.{os.getpid()}"
    script = f"setsid -f sleep {mark}; (setsid sleep {mark} &); echo here; exec sleep {mark}"
    async with sandbox_at(level) as sandbox:
        async with sandbox.hold(["sh", "-c", script]) as held:
            assert await read_line(held) == b"here\n"
            own = await launchers()
            assert bool(cgroups(report, own)) == (level == SandboxLevel.FULL)
        assert (processes(mark), cgroups(report, own), await launchers()) == ([], [], [])
        with pytest.raises(SandboxUnavailable, match="no longer"):
            await held.wait()
        assert (await sandbox.run(["echo", "next"])).stdout == b"next\n"


@pytest.mark.parametrize("level", LEVELS)
async def test_cancellation_kills_the_tree(sandbox_at: Opener, level: SandboxLevel) -> None:
    mark = f"3{level}.{os.getpid()}"
    async with sandbox_at(level) as sandbox:

        async def hold() -> None:
            async with sandbox.hold(["sh", "-c", f"sleep {mark} & sleep {mark}"]) as held:
                await held.read()

        task = asyncio.create_task(hold())
        await until(lambda: bool(processes(mark)), within_s=BEGUN_S)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (processes(mark), await launchers()) == ([], [])


async def test_its_output_is_capped_over_its_life(sandbox_at: Opener) -> None:
    limits = SandboxLimits(memory_bytes=128 * MIB, wall_s=10, output_bytes=100_000)
    async with sandbox_at(SandboxLevel.LANDLOCK, limits) as sandbox:
        async with sandbox.hold(["yes"]) as held:
            whole, result = await read_all(held), await held.wait()
    assert whole == b"y\n" * 50_000
    assert (result.limit, result.is_truncated) == ("output", True)
    assert result.dropped_bytes > 0 and str(result.dropped_bytes) in result.advice


@pytest.mark.parametrize("level", LEVELS)
async def test_limits_count_over_its_life(sandbox_at: Opener, level: SandboxLevel) -> None:
    limits = SandboxLimits(memory_bytes=128 * MIB, wall_s=1.0)
    async with sandbox_at(level) as sandbox, sandbox.hold(["cat"], limits=limits) as held:
        await held.write(b"x")
        assert await held.read() == b"x"
        assert await held.read() == b""
        assert (await held.wait()).limit == "wall"


async def test_memory_of_a_held_command(sandbox_at: Opener) -> None:
    async with sandbox_at(SandboxLevel.FULL) as sandbox:
        async with sandbox.hold([*PYTHON, REPL]) as held:
            await held.write(json.dumps("x = bytearray(1 << 28)").encode() + b"\n")
            assert await held.read() == b""
            assert (await held.wait()).limit == "memory"


async def test_closing_the_sandbox_ends_it(sandbox_at: Opener) -> None:
    async with sandbox_at(SandboxLevel.LANDLOCK) as sandbox:
        context = sandbox.hold(["cat"])
        held = await context.__aenter__()
    with pytest.raises(SandboxUnavailable):
        await held.read()
    with pytest.raises(SandboxUnavailable):
        await held.wait()
    await context.__aexit__(None, None, None)
    with pytest.raises(SandboxUnavailable, match="closed"):
        async with sandbox.hold(["cat"]):
            raise AssertionError("it began")


@pytest.mark.parametrize("level", LEVELS)
async def test_a_program_that_is_not_there(sandbox_at: Opener, level: SandboxLevel) -> None:
    async with sandbox_at(level) as sandbox, sandbox.hold(["no-such-program"]) as held:
        assert await held.read() == b""
        result = await held.wait()
    assert result.exit_code == 127
    assert result.stderr == b"no-such-program: No such file or directory\n"


async def test_a_workspace_that_is_gone_is_told(sandbox_at: Opener, workspace: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root's launcher keeps the folder itself")
    async with sandbox_at(SandboxLevel.LANDLOCK) as sandbox:
        workspace.rmdir()
        with pytest.raises(SandboxUnavailable, match="No such file"):
            await sandbox.run(["true"])
        workspace.mkdir()

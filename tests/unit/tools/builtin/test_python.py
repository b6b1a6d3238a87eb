"""Python code in the real sandbox: values, output, errors, and every way to end badly."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.tools.builtin.conftest import MIB, SMALL, Opener
from weft.errors import (
    EnvironmentFailed,
    SandboxUnavailable,
    ToolArgumentsInvalid,
    ToolFailed,
)
from weft.tools import ToolRegistry, ToolRunner
from weft.tools.builtin import PythonResult

MODES = ["fresh", "stateful"]


async def run(tools: ToolRegistry, code: str, **options: Any) -> PythonResult:
    tool = tools.get("python")
    result: PythonResult = await tool.invoke({"code": code, **options})
    assert tool.load(tool.dump(result)) == result  # it can be recorded, whatever it is
    return result


@pytest.mark.parametrize("mode", MODES)
async def test_value_output_and_error_are_told_apart(toolbox: Opener, mode: str) -> None:
    async with toolbox(python=mode) as tools:
        fine = await run(tools, "import sys\nprint('out')\nprint('err', file=sys.stderr)\n6 * 7")
        nothing = await run(tools, "x = 1")
        broken = await run(tools, "print('so far')\ndef f():\n    return 1 / 0\nf()")
        wrong = await run(tools, "if:")
    assert fine == PythonResult(value="42", stdout="out\n", stderr="err\n")
    assert nothing == PythonResult(value=None, stdout="", stderr="")
    assert (broken.value, broken.stdout) == (None, "so far\n")
    assert broken.error.startswith("Traceback") and broken.error.count("File") == 2
    assert "return 1 / 0" in broken.error and "ZeroDivisionError" in broken.error
    assert "SyntaxError" in wrong.error and "_run" not in wrong.error


@pytest.mark.slow
async def test_stateful_code_sees_what_earlier_code_left_and_fresh_code_does_not(
    toolbox: Opener, workspace: Path
) -> None:
    async with toolbox(python="stateful") as tools:
        await run(tools, "import math\ndef area(r):\n    return math.pi * r\nn = [1]")
        await run(tools, "n.append(2); open('kept.txt', 'w').write('x')")
        assert (await run(tools, "n, area(0)")).value == "([1, 2], 0.0)"
    async with toolbox(python="fresh") as tools:
        await run(tools, "n = 1")
        assert "NameError" in (await run(tools, "n")).error
        assert (await run(tools, "open('kept.txt').read()")).value == "'x'"
    assert (workspace / "kept.txt").read_text() == "x"


@pytest.mark.parametrize("mode", MODES)
async def test_what_children_print_belongs_to_the_call(toolbox: Opener, mode: str) -> None:
    async with toolbox(python=mode) as tools:
        result = await run(tools, "import os\nprint('a')\nos.system('echo b; echo c >&2')")
    assert (result.stdout, result.stderr, result.value) == ("a\nb\n", "c\n", "0")


@pytest.mark.parametrize("mode", MODES)
async def test_huge_output_keeps_head_and_tail_and_says_what_is_missing(
    toolbox: Opener, mode: str
) -> None:
    async with toolbox(python=mode) as tools:
        result = await run(tools, "print('\\n'.join(map(str, range(10_000))))")
        value = await run(tools, "'x' * 10**6")
    assert result.stdout.startswith("0\n1\n") and result.stdout.endswith("9998\n9999\n")
    assert "characters left out" in result.stdout and len(result.stdout) < 1100
    assert value.value is not None and "characters left out" in value.value
    assert value.value.startswith("'xxx") and len(value.value) < 1100


async def test_a_flood_is_stopped_and_the_state_survives(toolbox: Opener) -> None:
    async with toolbox(python="stateful") as tools:
        await run(tools, "kept = 5")
        result = await run(tools, "while True: print('y' * 10_000)")
        assert "it wrote more than" in result.error
        assert (await run(tools, "kept")).value == "5"


async def test_a_flood_of_a_fresh_process_ends_it(toolbox: Opener) -> None:
    async with toolbox(python="fresh") as tools:
        result = await run(tools, "while True: print('y' * 10_000)")
    assert "flood" in result.notice and result.stdout.startswith("yyy")


RAISED = {
    "class A:\n    def __repr__(self): return 1 / 0\nA()": "ZeroDivisionError",
    "class A:\n    def __repr__(self): return 3\nA()": "TypeError",
    "raise SystemExit(3)": "SystemExit: 3",
    "raise KeyboardInterrupt": "KeyboardInterrupt",
    "class Bad(Exception):\n    def __str__(self): raise Bad\nraise Bad": "Bad",
    "def f(): f()\nf()": "RecursionError",
}


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
async def test_whatever_is_raised_is_told(toolbox: Opener, mode: str) -> None:
    async with toolbox(python=mode) as tools:
        for code, told in RAISED.items():
            result = await run(tools, code)
            assert told in result.error and result.notice == ""


@pytest.mark.parametrize("mode", MODES)
async def test_text_that_is_no_text(toolbox: Opener, mode: str) -> None:
    code = "import os, sys\nos.write(1, b'\\xff\\x00ok')\nprint('\\ud800')\n'\\ud800\\x00'"
    async with toolbox(python=mode) as tools:
        result = await run(tools, code)
    assert result.error == "" and "ok" in result.stdout and "ud800" in result.stdout
    assert result.value == "'\\ud800\\x00'"


@pytest.mark.slow
async def test_a_hang_costs_the_process_and_says_so(toolbox: Opener) -> None:
    async with toolbox(python="stateful") as tools:
        await run(tools, "x = 1")
        result = await run(tools, "import time; time.sleep(60)", timeout_s=0.2)
        assert "time limit of 0.2 s" in result.notice and "variables" in result.notice
        assert result.limit == "wall"
        after = await run(tools, "'x' in globals()")
    assert (after.value, after.notice) == ("False", "")


@pytest.mark.slow
async def test_a_hang_of_a_fresh_process_keeps_what_it_printed(toolbox: Opener) -> None:
    runner = ToolRunner()
    async with toolbox(python="fresh") as tools:
        code = "import time\nprint('so far', flush=True)\ntime.sleep(60)"
        result = await runner.call(tools.get("python"), {"code": code, "timeout_s": 5.0})
    assert result.stdout == "so far\n" and "time limit of 5 s" in result.notice
    assert result.limit == "wall"
    assert runner.statistics.of("python").counts["timeout"] == 1


CRASHES = ["import os; os._exit(3)", "import os; os.kill(os.getpid(), 9)", "x = bytearray(1 << 28)"]


@pytest.mark.slow
@pytest.mark.parametrize("code", CRASHES)
@pytest.mark.parametrize("mode", MODES)
async def test_a_crash_is_told_and_the_next_call_works(
    toolbox: Opener, mode: str, code: str
) -> None:
    async with toolbox(python=mode) as tools:
        await run(tools, "kept = 1")
        result = await run(tools, code)
        after = await run(tools, "'kept' in globals()")
    # Below the full level memory is asked for in vain, and the process goes on.
    goes_on = "MemoryError" in result.error
    assert goes_on or result.notice
    assert after.value == str(goes_on and mode == "stateful")
    assert ("variables" in result.notice) == (mode == "stateful" and not goes_on)


async def test_a_fork_that_comes_back_answers_once(toolbox: Opener) -> None:
    async with toolbox(python="stateful") as tools:
        first = await run(tools, "import os\npid = os.fork()\n'parent' if pid else 'child'")
        second = await run(tools, "1 + 1")
    assert (first.value, second.value) == ("'parent'", "2")


FORGE = """import os
for fd in range(3, 20):
    try: os.write(fd, b'{junk}\\n' * 10)
    except OSError: pass
7"""
FLOOD_ANSWERS = """import os
while True:
    for fd in range(3, 20):
        try: os.write(fd, b'x' * 9999)
        except OSError: pass
"""


@pytest.mark.slow
async def test_forged_answers_harm_nobody_but_the_code(toolbox: Opener) -> None:
    """The code finds the descriptor of the answers and writes into it."""
    async with toolbox(python="stateful") as tools:
        assert (await run(tools, FORGE)).value == "7"
        flooded = await run(tools, FLOOD_ANSWERS, timeout_s=10.0)
        assert "cannot be read" in flooded.notice
        assert (await run(tools, "8")).value == "8"


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
async def test_cancelled_in_every_phase(toolbox: Opener, mode: str) -> None:
    """At once, while it starts and while it runs: the next call works and is told of the loss."""
    async with toolbox(python=mode) as tools:
        tool = tools.get("python")
        for delay_s in (None, 0.0, 0.02, 0.1):
            if delay_s == 0.1:
                await run(tools, "'ready'")  # so that it is cancelled while it runs
            call = asyncio.ensure_future(run(tools, "import time; lost = 1; time.sleep(60)"))
            if delay_s is not None:
                await asyncio.sleep(delay_s)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        after = await run(tools, "'lost' in globals()")
        again = await run(tools, "1")
        assert tool.num_running == tool.num_abandoned == 0
    assert after.value == "False"
    assert ("was cancelled" in after.notice) == (mode == "stateful")
    assert again.notice == ""


@pytest.mark.parametrize("delay_s", [0.0, 0.3])
async def test_closing_while_code_runs_ends_it(toolbox: Opener, delay_s: float) -> None:
    async with toolbox(python="stateful") as tools:
        call = asyncio.ensure_future(run(tools, "import time; time.sleep(60)"))
        await asyncio.sleep(delay_s)
    # The one is told while the process starts, the other while it runs.
    with pytest.raises((EnvironmentFailed, SandboxUnavailable)):
        await call


@pytest.mark.slow
async def test_memory_is_measured_for_the_scheduler(toolbox: Opener) -> None:
    runner = ToolRunner()
    for mode in MODES:
        async with toolbox(python=mode) as tools:
            await runner.call(tools.get("python"), {"code": "x = bytearray(40 << 20)"})
    record = runner.statistics.of("python")
    assert record.num_measured == 2
    assert 40 * MIB < record.peak_memory_bytes(0.5) <= record.peak_memory_bytes(1.0) < 128 * MIB


@pytest.mark.slow
async def test_more_memory_can_be_asked_for_within_the_quota(toolbox: Opener) -> None:
    code = "len(bytearray(80 << 20))"
    async with toolbox(limits=replace(SMALL, memory_bytes=64 * MIB), python="fresh") as tools:
        small = await run(tools, code)
        large = await run(tools, code, memory="1000 GiB")
        with pytest.raises(ToolFailed, match="resource hint"):
            await run(tools, code, memory="lots")
        with pytest.raises(ToolFailed, match="wall_s"):
            await run(tools, code, timeout_s=-1.0)
        with pytest.raises(ToolArgumentsInvalid):
            await tools.get("python").invoke({"code": 3})
    assert small.value is None and large.value == str(80 << 20)


async def test_calls_after_closing_are_refused(toolbox: Opener) -> None:
    async with toolbox(python="stateful") as tools:
        await run(tools, "1")
    for _ in range(2):
        with pytest.raises(SandboxUnavailable):
            await run(tools, "2")

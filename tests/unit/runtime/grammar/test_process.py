from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from weft.runtime.grammar.process import LineProcess, ProcessSilent

ECHO = "import sys\nfor line in sys.stdin: print(line.strip().upper(), flush=True)"
FLOOD = "import sys; sys.stdin.readline()\nwhile True: sys.stdout.write('x' * 65536)"
SILENT = "import time; time.sleep(100)"
CRASH = "import os; os._exit(3)"


@contextmanager
def child(code: str) -> Generator[LineProcess]:
    process = LineProcess([sys.executable, "-I", "-c", code], {})
    try:
        yield process
    finally:
        process.close()


def test_lines_come_back() -> None:
    with child(ECHO) as process:
        assert process.exchange(b"abc", seconds=60, max_bytes=100) == b"ABC\n"
        long = b"a" * 300_000
        assert process.exchange(long, seconds=60, max_bytes=400_000) == long.upper() + b"\n"


@pytest.mark.parametrize(
    ("code", "seconds", "reason"),
    [(SILENT, 0.05, "longer than 0.05 s"), (FLOOD, 60, "too large"), (CRASH, 60, "crashed")],
)
def test_silence_is_reported_and_the_process_can_be_killed(
    code: str, seconds: float, reason: str
) -> None:
    with child(code) as process, pytest.raises(ProcessSilent, match=reason):
        process.exchange(b"x" * 300_000, seconds=seconds, max_bytes=1000)
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)

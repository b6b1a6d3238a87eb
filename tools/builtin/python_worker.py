"""Runs code inside the sandbox: reads tasks as JSON lines, writes an answer for each.

Its text is handed to the sandbox's own Python with ``-c``, so it needs the standard library alone.
It trusts nobody and is trusted by nobody: what it answers is checked like any other output.
"""

from __future__ import annotations

import ast
import json
import linecache
import os
import resource
import signal
import sys
import threading
import traceback
from contextlib import suppress
from types import FrameType
from typing import Any

FILE = "<code>"
KEEP_BYTES = 1 << 16
"""Kept of each text of an answer: half from its start, half from its end."""
FLOOD_BYTES = 1 << 23
DRAIN_S = 0.2
"""How long to wait for output that a child of the code may still hold open."""


class Flood(BaseException):
    """The code writes without end."""


class Capture:
    """What is written to one descriptor while code runs."""

    def __init__(self, target: int) -> None:
        self.num_bytes = 0
        self._target = target
        self._head, self._tail = bytearray(), bytearray()
        self._source, sink = os.pipe()
        os.dup2(sink, target)
        os.close(sink)
        self._reader = threading.Thread(target=self._drain, daemon=True)
        self._reader.start()

    def _drain(self) -> None:
        while data := os.read(self._source, 1 << 16):
            was_calm = self.num_bytes <= FLOOD_BYTES
            self.num_bytes += len(data)
            room = KEEP_BYTES // 2 - len(self._head)
            self._head += data[:room]
            self._tail = (self._tail + data[max(0, room) :])[-KEEP_BYTES // 2 :]
            if was_calm and self.num_bytes > FLOOD_BYTES:
                os.kill(os.getpid(), signal.SIGINT)
        os.close(self._source)

    def end(self, null: int) -> str:
        """Point the descriptor at nothing; what was kept."""
        os.dup2(null, self._target)
        self._reader.join(DRAIN_S)
        dropped = self.num_bytes - len(self._head) - len(self._tail)
        mark = f"\n[{dropped} bytes left out]\n".encode() if dropped > 0 else b""
        return bytes(self._head + mark + self._tail).decode("utf-8", "replace")


class Worker:
    """Keeps one namespace from task to task."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._namespace: dict[str, Any] = {"__name__": "__main__", "__builtins__": __builtins__}
        self._is_running = False
        self._tasks = os.fdopen(os.dup(0), "rb")
        self._answers = os.dup(1)
        self._null = os.open(os.devnull, os.O_RDWR)
        os.dup2(self._null, 0)
        signal.signal(signal.SIGINT, self._interrupt)
        sys.path.insert(0, os.getcwd())

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._is_running:
            raise Flood

    def serve(self) -> None:
        for line in self._tasks:
            task = json.loads(line)
            answer = self._captured(task) if task["captures"] else self._run(task["code"])
            if os.getpid() != self._pid:
                os._exit(0)  # the code has forked, and this is the copy
            answer["rss_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            data = f"\n{task['mark']}{json.dumps(answer)}\n".encode()
            while data:
                data = data[os.write(self._answers, data) :]
        os._exit(0)  # what the code has left running is not waited for

    def _captured(self, task: dict[str, Any]) -> dict[str, Any]:
        streams = {"stdout": Capture(1), "stderr": Capture(2)}
        answer = self._run(task["code"])
        return answer | {name: stream.end(self._null) for name, stream in streams.items()}

    def _run(self, code: str) -> dict[str, Any]:
        sys.stdout = open(1, "w", 1, "utf-8", "backslashreplace", closefd=False)
        sys.stderr = open(2, "w", 1, "utf-8", "backslashreplace", closefd=False)
        answer: dict[str, Any] = {"value": None, "error": ""}
        self._is_running = True
        try:
            answer["value"] = self._execute(code)
        except Flood:
            answer["error"] = f"The code was stopped: it wrote more than {FLOOD_BYTES} bytes."
        except SystemExit as end:
            answer["error"] = f"SystemExit: {end.code}" if end.code else ""
        except BaseException as error:
            answer["error"] = _cut(_told(error))
        self._is_running = False
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        return answer

    def _execute(self, code: str) -> str | None:
        """Run statements; the value of a last expression, written out."""
        linecache.cache[FILE] = (len(code), None, code.splitlines(True), FILE)
        tree = ast.parse(code, FILE)
        last = tree.body[-1] if tree.body else None
        if not isinstance(last, ast.Expr):
            exec(compile(tree, FILE, "exec"), self._namespace)
            return None
        del tree.body[-1]
        exec(compile(tree, FILE, "exec"), self._namespace)
        value = eval(compile(ast.Expression(last.value), FILE, "eval"), self._namespace)
        return None if value is None else _cut(repr(value))


def _told(error: BaseException) -> str:
    """The traceback without the frames of this file."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != FILE:
        trace = trace.tb_next
    if trace is None:
        return "".join(traceback.format_exception_only(type(error), error))
    return "".join(traceback.format_exception(type(error), error, trace))


def _cut(text: str) -> str:
    half = KEEP_BYTES // 2
    if len(text) <= 2 * half:
        return text
    return f"{text[:half]}\n[{len(text) - 2 * half} characters left out]\n{text[-half:]}"


if __name__ == "__main__":
    Worker().serve()

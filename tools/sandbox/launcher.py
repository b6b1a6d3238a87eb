"""A small process that starts, watches and ends the commands of one sandbox, one at a time.

Forking it is cheap, while the runner may hold gigabytes and many threads. The runner sends
frames to its standard input and reads frames from its standard output. End of input, or the end
of the runner, means: kill what runs, remove its cgroup, end. So nothing outlives the runner.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, BinaryIO

from weft.tools.sandbox.command import Command
from weft.tools.sandbox.frames import PREFIX_BYTES, Frame, pack, unpack_sizes
from weft.tools.sandbox.group import CallGroup
from weft.tools.sandbox.kernel import adopt_orphans, landlock_version, show_workspace

__all__ = ["Launcher", "main"]


class Launcher:
    """Serves the calls of one sandbox until its input ends."""

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        self._source = source
        self._sink = sink
        self._num_calls = 0
        self._ends = [source.fileno()]
        self._uid: int | None = None
        self._workspace = ""

    def serve(self) -> None:
        hello = self._next()
        if hello is not None and self._prepare(hello.head):
            while (frame := self._next()) is not None and self._call(frame):
                pass

    def _prepare(self, hello: dict[str, Any]) -> bool:
        """Take the session's settings; False where its runner ended meanwhile."""
        self._ends.append(os.pidfd_open(hello["runner"]))
        if os.getppid() != hello["runner"]:
            return False
        self._uid = hello["uid"]
        adopt_orphans()
        self._workspace = show_workspace(hello["workspace"], self._uid)
        self._answer({"workspace": self._workspace, "landlock": landlock_version()})
        return True

    def _call(self, frame: Frame) -> bool:
        """Serve one call; False where the runner ended meanwhile."""
        self._num_calls += 1
        group = CallGroup(frame.head["cgroup"], self._num_calls)
        command = Command(frame, self._workspace, self._uid, self._ends)
        try:
            group.create()
            command.start(group)
            is_wanted = command.watch()
            head, body = command.outcome()
            answer = Frame({**head, "readings": group.readings()}, body)
        except OSError as error:
            is_wanted, answer = True, Frame({"error": str(error)}, b"")
        finally:
            command.close()
            group.remove()
        if is_wanted:
            self._answer(*answer)
        return is_wanted

    def _next(self) -> Frame | None:
        prefix = self._source.read(PREFIX_BYTES)
        if len(prefix) < PREFIX_BYTES:
            return None
        head_bytes, body_bytes = unpack_sizes(prefix)
        head = json.loads(self._source.read(head_bytes))
        return Frame(head, self._source.read(body_bytes))

    def _answer(self, head: dict[str, Any], body: bytes = b"") -> None:
        self._sink.write(pack(head, body))
        self._sink.flush()


def main() -> None:
    """Serve standard input until it ends."""
    os.chdir("/")
    Launcher(sys.stdin.buffer, sys.stdout.buffer).serve()

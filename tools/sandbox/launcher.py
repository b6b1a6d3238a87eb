"""A small process that starts, watches and ends the commands of one sandbox, one at a time.

Forking it is cheap, while the runner may hold gigabytes and many threads. The runner sends
frames to its standard input and reads frames from its standard output. End of input, or the end
of the runner, means: kill what runs, remove its cgroup, end. So nothing outlives the runner.
"""

from __future__ import annotations

import os
import sys
from typing import Any, BinaryIO

from weft.tools.sandbox.command import Command, Place
from weft.tools.sandbox.frames import Frame, FrameSource, pack
from weft.tools.sandbox.group import CallGroup
from weft.tools.sandbox.kernel import adopt_orphans, landlock_version
from weft.tools.sandbox.mounts import SeenWorkspace

__all__ = ["Launcher", "main"]


class Launcher:
    """Serves the calls of one sandbox until its input ends."""

    def __init__(self, source: FrameSource, sink: BinaryIO) -> None:
        self._source = source
        self._sink = sink
        self._num_calls = 0

    def serve(self) -> None:
        hello = self._source.next()
        place = None if hello is None else self._prepare(hello.head)
        while place is not None and (frame := self._source.next()) is not None:
            # What was sent to a command after its end leads nowhere.
            if "argv" in frame.head and not self._call(frame, place):
                break

    def _prepare(self, hello: dict[str, Any]) -> Place | None:
        """Take the session's settings; None where its runner ended meanwhile."""
        runner = os.pidfd_open(hello["runner"])
        if os.getppid() != hello["runner"]:
            return None
        adopt_orphans()
        uid: int | None = hello["uid"]
        workspace = SeenWorkspace(hello["workspace"], hello["runner"], uid)
        self._answer({"workspace": workspace.path, "landlock": landlock_version()})
        return Place(workspace=workspace, uid=uid, source=self._source, runner=runner)

    def _call(self, frame: Frame, place: Place) -> bool:
        """Serve one call; False where the runner ended meanwhile."""
        self._num_calls += 1
        group = CallGroup(frame.head["cgroup"], self._num_calls)
        try:
            command = Command(frame, place, self._pass_on, self._ask_memory)
        except OSError as error:
            self._answer({"error": str(error)})
            return True
        try:
            group.create()
            command.start(group)
            if frame.head["is_held"]:
                self._pass_on(b"")  # it runs
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

    def _pass_on(self, output: bytes) -> None:
        self._answer({"is_part": True}, output)

    def _ask_memory(self) -> None:
        self._answer({"is_part": True, "is_at_limit": True})

    def _answer(self, head: dict[str, Any], body: bytes = b"") -> None:
        self._sink.write(pack(head, body))
        self._sink.flush()


def main() -> None:
    """Serve standard input until it ends."""
    os.chdir("/")
    Launcher(FrameSource(sys.stdin.fileno()), sys.stdout.buffer).serve()

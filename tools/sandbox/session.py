"""A running launcher, as the runner holds it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from weft.errors import SandboxUnavailable
from weft.tools.sandbox.frames import PREFIX_BYTES, Frame, pack, unpack_sizes

__all__ = ["LauncherSession", "hello", "launcher_command"]

END_S = 1.0
"""How long a launcher may take to end its command and itself."""
UNREAD_BYTES = 1 << 30
"""More than any answer: were reading to pause, a launcher whose caller has gone could not end."""
GONE = "The process that starts sandboxed commands ended unexpectedly."


def launcher_command() -> list[str]:
    """The command line of a launcher."""
    return [sys.executable, "-I", "-S", str(Path(__file__).with_name("boot.py"))]


def hello(workspace: Path, uid: int | None) -> bytes:
    """The first frame: the folder, the user to become (None: stay), and who is asking."""
    return pack({"workspace": str(workspace), "uid": uid, "runner": os.getpid()})


class LauncherSession:
    """One launcher process: takes one call at a time. Close it always."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.workspace = ""
        """Where the launcher sees the workspace."""
        self.is_idle = False
        """Whether every request has had its last answer: the launcher can take the next."""

    @classmethod
    async def start(cls, workspace: Path, uid: int | None) -> Self:
        """Start a launcher. Raises SandboxUnavailable where it cannot work."""
        pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(
            *launcher_command(),
            stdin=pipe,
            stdout=pipe,
            stderr=null,
            start_new_session=True,
            limit=UNREAD_BYTES,
        )
        session = cls(process)
        try:
            answer = await session.ask(hello(workspace, uid))
        except BaseException:
            await session.close()
            raise
        session.workspace = answer.head["workspace"]
        return session

    async def ask(self, request: bytes) -> Frame:
        """Send a frame and wait for its answer. After a cancellation only ``close`` is allowed."""
        await self.send(request)
        return await self.receive()

    async def send(self, request: bytes) -> None:
        """Send a frame; waits while the launcher takes no more. Raises SandboxUnavailable."""
        assert self._process.stdin is not None
        self.is_idle = False
        try:
            self._process.stdin.write(request)
            await self._process.stdin.drain()
        except OSError as error:
            raise SandboxUnavailable(GONE, remedy="Open the sandbox again.") from error

    async def receive(self) -> Frame:
        """The next frame; one with ``is_part`` in its head is not the last of its request.

        After a cancellation only ``close`` is allowed. Raises SandboxUnavailable.
        """
        source = self._process.stdout
        assert source is not None
        try:
            head_bytes, body_bytes = unpack_sizes(await source.readexactly(PREFIX_BYTES))
            head: dict[str, Any] = json.loads(await source.readexactly(head_bytes))
            body = await source.readexactly(body_bytes)
        except (OSError, asyncio.IncompleteReadError) as error:
            raise SandboxUnavailable(GONE, remedy="Open the sandbox again.") from error
        self.is_idle = "is_part" not in head
        return Frame(head, body)

    async def close(self) -> None:
        """Have the launcher kill what runs, free its cgroup, and end; returns when it has."""
        ending = asyncio.ensure_future(self._end())
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError:
            await ending  # it ends soon, and what it frees must be free before its caller goes on
            raise

    async def _end(self) -> None:
        assert self._process.stdin is not None
        # What was not sent yet is lost, or the launcher would see its end only behind it.
        if not self._process.stdin.is_closing():
            self._process.stdin.transport.abort()
        try:
            await asyncio.wait_for(self._process.wait(), END_S)
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

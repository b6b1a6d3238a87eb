"""A sandboxed command that is talked to while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from weft.errors import SandboxUnavailable
from weft.tools.sandbox.frames import Frame, pack
from weft.tools.sandbox.result import SandboxResult
from weft.tools.sandbox.session import LauncherSession

__all__ = ["HeldCommand"]

CHUNK = 1 << 16


class HeldCommand:
    """A running command, as ``Sandbox.hold`` gives it; it lives as long as that context.

    Writing and reading may overlap, and may be cancelled without losing what came. Each raises
    SandboxUnavailable where the command can be held no longer, as when the sandbox is closed.
    """

    def __init__(
        self,
        session: LauncherSession,
        read: Callable[[Frame], SandboxResult],
        decide: Callable[[], Awaitable[None]],
    ) -> None:
        self._session = session
        self._read = read
        self._decide = decide
        self._output = bytearray()
        self._changed = asyncio.Event()
        self._listener = asyncio.create_task(self._listen())
        self._sending = asyncio.Lock()

    async def write(self, data: bytes) -> None:
        """Give the command ``data`` to read; waits while it takes no more.

        What is written after its end leads nowhere: ``read`` then tells of the end.
        """
        for begin in range(0, len(data), CHUNK):
            await self._send(data[begin : begin + CHUNK], is_last=False)

    async def close_input(self) -> None:
        """Let the command read to the end of its input."""
        await self._send(b"", is_last=True)

    async def _send(self, data: bytes, *, is_last: bool) -> None:
        async with self._sending:
            if not self._listener.done():
                await self._session.send(pack({"is_last": is_last}, data))

    async def read(self) -> bytes:
        """What the command wrote to its standard output since the last call.

        Waits until there is something; b"" when all was read and the command has ended.
        """
        while not self._output and not self._listener.done():
            self._changed.clear()
            await self._changed.wait()
        if not self._output:
            await self.wait()
        data = bytes(self._output)
        self._output.clear()
        return data

    async def wait(self) -> SandboxResult:
        """How the command ended; waits until it does. What it wrote is for ``read``.

        Its result holds no standard output. Raises SandboxUnavailable where confining it failed.
        """
        await asyncio.wait([self._listener])
        if self._listener.cancelled():
            raise SandboxUnavailable("The command is held no longer.", remedy="Start it again.")
        return self._listener.result()

    async def _listen(self) -> SandboxResult:
        try:
            while True:
                frame = await self._session.receive()
                if "is_part" not in frame.head:
                    return self._read(frame)
                if "is_at_limit" in frame.head:
                    async with self._sending:
                        await self._decide()
                self._output += frame.body
                self._changed.set()
        finally:
            self._changed.set()

    async def close(self) -> None:
        """Listen no longer. The session is idle afterwards only where the command had ended."""
        self._listener.cancel()
        await asyncio.wait([self._listener])
        if not self._listener.cancelled():
            self._listener.exception()  # who asked for it has had it

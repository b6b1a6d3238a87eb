"""A process of the program's author that runs for as long as it is needed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from weft.errors import EnvironmentFailed
from weft.tools.environment.port import HOST
from weft.tools.environment.site import Site

__all__ = ["ProcessNeed"]

LOOK_S = 0.02
GONE_S = 2.0
"""How long is waited for what was killed to die."""
DIE_WITH_PARENT = (
    "import ctypes, os, sys\n"
    "ctypes.CDLL(None).prctl(1, 9)\n"
    "if os.getppid() == int(sys.argv[1]): os.execvpe(sys.argv[2], sys.argv[2:], os.environ)"
)
"""The kernel kills it when this process ends in whatever way; so no server outlives its runner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessNeed:
    """A process that the program's author starts, never a model: it is not confined. With a
    ``port`` it is ready once it listens there. Its output is dropped. Gives its number."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    """All of its environment beside PATH."""
    folder: Path | None = None
    """Where it runs; None: in the site's folder."""
    port: int | None = None
    start_s: float = 30.0
    """How long it may take to listen."""
    end_s: float = 2.0
    """How long it may take to end by itself when it is collected."""

    @asynccontextmanager
    async def open(self, site: Site) -> AsyncGenerator[int]:
        """Raises EnvironmentFailed where it ends early or does not listen in time."""
        process = await self._start(site)
        try:
            await self._until_ready(process)
            yield process.pid
        finally:
            await self._end(process)

    async def _start(self, site: Site) -> asyncio.subprocess.Process:
        null = asyncio.subprocess.DEVNULL
        head = (sys.executable, "-I", "-S", "-c", DIE_WITH_PARENT, str(os.getpid()))
        return await asyncio.create_subprocess_exec(
            *head,
            *self.argv,
            stdin=null,
            stdout=null,
            stderr=null,
            env={"PATH": os.environ.get("PATH", os.defpath), **self.env},
            cwd=self.folder or site.folder,
            start_new_session=True,
        )

    async def _until_ready(self, process: asyncio.subprocess.Process) -> None:
        try:
            async with asyncio.timeout(self.start_s):
                while not await self._is_ready():
                    if process.returncode is not None:
                        raise EnvironmentFailed(
                            f"{self.argv[0]!r} ended with {process.returncode} too early.",
                            remedy="Run it by hand to see why.",
                        )
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            raise EnvironmentFailed(
                f"{self.argv[0]!r} does not listen on port {self.port} after {self.start_s:g} s.",
                remedy="Check its port, or raise start_s.",
            ) from None

    async def _is_ready(self) -> bool:
        if self.port is None:
            return True
        try:
            _, writer = await asyncio.open_connection(HOST, self.port)
        except OSError:
            return False
        writer.close()
        return True

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        """Ask the process to end, then kill it and what is left of its session."""
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(process.wait()), self.end_s)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
            await _until_gone(process.pid)
        await process.wait()


async def _until_gone(group: int) -> None:
    """A kill is done with when the kernel next runs who got it; nobody here is told of that."""
    with suppress(TimeoutError):
        async with asyncio.timeout(GONE_S):
            while any(_is_alive_in(group, stat) for stat in Path("/proc").glob("[0-9]*/stat")):
                await asyncio.sleep(LOOK_S)


def _is_alive_in(group: int, stat: Path) -> bool:
    """Whether a process belongs to a group; those that are dead and not reaped do not count."""
    try:
        state, _, its_group, *_ = stat.read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return int(its_group) == group and state != "Z"

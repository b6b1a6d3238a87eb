"""A Unix socket on which a process says what its programs do."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from weft.errors import InvalidRequest
from weft.runtime.dispatch import ScheduledEngine
from weft.runtime.monitor.folder import default_folder, is_answered, made_folder, socket_path

__all__ = ["Monitor"]

FRESH_S = 0.1
"""A Snapshot is taken no sooner after another."""
IDLE_SHARE = 20
"""Nor sooner than in so many times what taking it took: watchers cost programs 5% at most."""
LONGEST_S = 3600.0
MAX_REQUEST_BYTES = 1024
MAX_LATE_BYTES = 1 << 20
"""What a watcher may leave unread, beside what the system keeps for it."""
MAX_WATCHERS = 32


class Monitor:
    """While it is entered, processes of the same user can watch an engine's programs.

    A watcher sends JSON objects, one a line: ``{}`` asks for one Snapshot, ``{"every_s": 1}`` for
    one every second from now on. Snapshots come as JSON, one a line. Who asks for anything else is
    told ``{"error": …}`` and dropped; who does not read is dropped.

    The socket is named by the process's id and can be opened by its user alone. It lives on the
    event loop of the programs, makes no tasks, and waits for nobody. One for each process.
    """

    def __init__(
        self, engine: ScheduledEngine, *, folder: Path | None = None, fresh_s: float = FRESH_S
    ) -> None:
        """``folder`` is by default the one that ``weft top`` looks into."""
        self._engine = engine
        self._folder = folder or default_folder()
        self._fresh_s = fresh_s
        self._server: asyncio.Server | None = None
        self._watchers: set[_Watcher] = set()
        self._line = b""
        self._fresh_until_s = float("-inf")

    @property
    def path(self) -> Path:
        """Where its socket is while it is entered."""
        return socket_path(self._folder, os.getpid())

    @property
    def num_watchers(self) -> int:
        return len(self._watchers)

    async def __aenter__(self) -> Self:
        """Raises InvalidRequest where the folder is not safe, or there is a monitor already."""
        made_folder(self._folder)
        listener = _bound(self.path)
        try:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_unix_server(
                lambda: _Watcher(self._watchers, self._snapshot), sock=listener, start_serving=False
            )
            await self._server.start_serving()
        except BaseException:
            self._close()
            listener.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def _close(self) -> None:
        """Waits for nothing, so that nothing can cancel it."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for watcher in list(self._watchers):
            watcher.drop()
        self.path.unlink(missing_ok=True)

    def _snapshot(self) -> bytes:
        """A line that all who ask at about the same time are sent."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        if began_s >= self._fresh_until_s:
            self._line = self._engine.snapshot().to_json() + b"\n"
            ended_s = loop.time()
            self._fresh_until_s = ended_s + max(self._fresh_s, IDLE_SHARE * (ended_s - began_s))
        return self._line


class _Watcher(asyncio.Protocol):
    """One connection."""

    def __init__(self, watchers: set[_Watcher], snapshot: Callable[[], bytes]) -> None:
        self._watchers = watchers
        self._snapshot = snapshot
        self._asked = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)
        self._transport.set_write_buffer_limits(high=MAX_LATE_BYTES)
        self._watchers.add(self)
        if len(self._watchers) > MAX_WATCHERS:
            self._refuse(f"There are {MAX_WATCHERS} watchers already.")

    def data_received(self, data: bytes) -> None:
        *lines, self._asked = (self._asked + data).split(b"\n")
        for line in lines:
            if self._transport.is_closing():
                return
            self._serve(line)
        if len(self._asked) > MAX_REQUEST_BYTES:
            self._refuse(f"A request is longer than {MAX_REQUEST_BYTES} bytes.")

    def eof_received(self) -> bool:
        """Who has asked for more to come may have no more to say."""
        return self._timer is not None

    def pause_writing(self) -> None:
        self.drop()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        self._watchers.discard(self)

    def drop(self) -> None:
        """Free all it holds now; what it has not read is lost."""
        self._stop()
        self._watchers.discard(self)
        self._transport.abort()

    def _serve(self, line: bytes) -> None:
        try:
            interval_s = _interval_s(line)
        except ValueError as error:
            self._refuse(str(error))
            return
        self._stop()
        self._tell(interval_s)

    def _tell(self, interval_s: float | None) -> None:
        self._transport.write(self._snapshot())
        if interval_s is not None and not self._transport.is_closing():
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(interval_s, self._tell, interval_s)

    def _refuse(self, words: str) -> None:
        """Say why, as far as that can be said at once."""
        self._transport.write(json.dumps({"error": words}).encode() + b"\n")
        self.drop()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _interval_s(line: bytes) -> float | None:
    """What a request asks for; None: one Snapshot. Raises ValueError."""
    if len(line) > MAX_REQUEST_BYTES:
        raise ValueError(f"A request is longer than {MAX_REQUEST_BYTES} bytes.")
    try:
        request: object = json.loads(line)
    except (ValueError, RecursionError):
        request = None
    if request == {}:
        return None
    every_s = cast("dict[str, object]", request).get("every_s") if _is_one(request) else None
    if isinstance(every_s, bool) or not isinstance(every_s, int | float):
        raise ValueError('Ask {} for one snapshot, {"every_s": 1} for one every second.')
    if not FRESH_S <= every_s <= LONGEST_S:
        raise ValueError(f"every_s is {every_s!r}; it may be {FRESH_S} to {LONGEST_S:.0f}.")
    return every_s


def _is_one(request: object) -> bool:
    return isinstance(request, dict) and list(cast("dict[str, object]", request)) == ["every_s"]


def _bound(path: Path) -> socket.socket:
    """A socket at the path. Nobody can connect before it listens, so its mode is set in time."""
    _clear(path)
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(os.fspath(path))
        path.chmod(0o600)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise InvalidRequest(
            f"No monitor can listen at {str(path)!r}: {error}.",
            remedy="Set XDG_RUNTIME_DIR to a folder of yours with a short name.",
        ) from error
    return listener


def _clear(path: Path) -> None:
    """Remove what an earlier process of the same id has left. Raises InvalidRequest for a
    monitor of this process."""
    try:
        if is_answered(path):
            raise InvalidRequest(
                f"Process {os.getpid()} has a monitor already.", remedy="Open one for each process."
            )
    except OSError:
        return
    path.unlink(missing_ok=True)

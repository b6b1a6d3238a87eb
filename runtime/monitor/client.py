"""How another process watches."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

from weft.errors import EngineOverloaded, InvalidRequest
from weft.runtime.dispatch.snapshot import Snapshot
from weft.runtime.monitor.folder import MonitorAddress

__all__ = ["watch"]

ANSWER_S = 5.0
"""How long a process may be too busy to answer."""
MAX_LINE_BYTES = 1 << 24
REFUSED = b'{"error":'


def watch(
    address: MonitorAddress, interval_s: float | None = None, *, answer_s: float = ANSWER_S
) -> Iterator[Snapshot]:
    """One Snapshot, or one every ``interval_s`` seconds until the process or its monitor ends.
    Blocks.

    Raises InvalidRequest where nobody listens or the request is refused, EngineOverloaded where
    the process takes ``answer_s`` too long, UnsupportedFeature for another version's words.
    """
    request = {} if interval_s is None else {"every_s": interval_s}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(answer_s + (interval_s or 0.0))
        _connect(connection, address)
        with suppress(ConnectionError):  # it has said why it refuses, and hung up
            connection.sendall(json.dumps(request).encode() + b"\n")
        with connection.makefile("rb") as lines:
            while line := _next_line(lines, address.pid):
                yield _read(line)
                if interval_s is None:
                    return


def _connect(connection: socket.socket, address: MonitorAddress) -> None:
    try:
        connection.connect(os.fspath(address.path))
    except TimeoutError as error:
        raise _late(address.pid) from error
    except OSError as error:
        raise InvalidRequest(
            f"Process {address.pid} has no monitor: {error}.", remedy="It may have ended."
        ) from error


def _next_line(lines: BinaryIO, pid: int) -> bytes:
    """Empty at the end, also where that came in the middle of a line."""
    try:
        line = lines.readline(MAX_LINE_BYTES)
    except TimeoutError as error:
        raise _late(pid) from error
    except ConnectionError:
        return b""
    return line if line.endswith(b"\n") else b""


def _read(line: bytes) -> Snapshot:
    if line.startswith(REFUSED):
        raise InvalidRequest(
            f"The monitor refuses to be watched: {line.decode(errors='replace').strip()}",
            remedy="Watch it with fewer commands, or less often.",
        )
    return Snapshot.from_json(line)


def _late(pid: int) -> EngineOverloaded:
    return EngineOverloaded(f"Process {pid} does not answer.", remedy="Try again later.")

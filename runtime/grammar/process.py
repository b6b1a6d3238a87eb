"""A child process that answers lines with lines, and is killed when it does not."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections.abc import Sequence
from typing import IO

__all__ = ["LineProcess", "ProcessSilent"]

_CHUNK_BYTES = 1 << 16


class ProcessSilent(Exception):
    """The process gave no whole line: it was too slow, it died, or the line is too long."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class LineProcess:
    """One child. Starting it does not wait for it. For one thread at a time."""

    def __init__(self, command: Sequence[str], environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            bufsize=0,
            close_fds=True,
        )
        self._stdin, self._stdout = _pipe(self._process.stdin), _pipe(self._process.stdout)
        os.set_blocking(self._stdin.fileno(), False)
        os.set_blocking(self._stdout.fileno(), False)

    @property
    def pid(self) -> int:
        return self._process.pid

    def exchange(self, line: bytes, *, seconds: float, max_bytes: int) -> bytes:
        """Send one line (without its end) and wait for one line back.

        Raises: ProcessSilent; the process must then be closed, as what it does is unknown.
        """
        deadline = time.monotonic() + seconds
        unsent = memoryview(line + b"\n")
        received = bytearray()
        with selectors.DefaultSelector() as ready:
            ready.register(self._stdout, selectors.EVENT_READ)
            ready.register(self._stdin, selectors.EVENT_WRITE)
            while not received.endswith(b"\n"):
                events = ready.select(deadline - time.monotonic())
                if time.monotonic() >= deadline:
                    raise ProcessSilent(f"it took longer than {seconds:g} s")
                for key, _ in events:
                    if key.fileobj is self._stdout:
                        received += self._receive(max_bytes - len(received))
                    else:
                        unsent = unsent[self._send(unsent) :]
                        if not unsent:
                            ready.unregister(self._stdin)
        return bytes(received)

    def close(self) -> None:
        """Kill the process and wait for its end. Idempotent."""
        self._process.kill()
        self._process.wait()
        self._stdin.close()
        self._stdout.close()

    def _receive(self, room: int) -> bytes:
        chunk = os.read(self._stdout.fileno(), _CHUNK_BYTES)
        if not chunk:
            raise ProcessSilent("it ran out of memory or crashed")
        if len(chunk) > room:
            raise ProcessSilent("its result is too large")
        return chunk

    def _send(self, unsent: memoryview) -> int:
        try:
            return os.write(self._stdin.fileno(), unsent)
        except BrokenPipeError as error:
            raise ProcessSilent("it ran out of memory or crashed") from error


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream

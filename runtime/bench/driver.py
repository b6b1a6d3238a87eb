"""One contender in a process of its own, spoken to in lines of JSON."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from weft.errors import PeerFailed

__all__ = ["DRIVERS", "Driver"]

DRIVERS = Path(__file__).parent / "drivers"
"""The scripts that drive the contenders, and ``wire.py``, which connects one to its pipes."""
TAIL_CHARS = 600
GRACE_S = 10.0


class Driver:
    """A started process. ``close`` it, or use it as a context manager.

    Its standard output carries one JSON object per call; all else it prints goes to a log whose
    end is part of every error.
    """

    def __init__(
        self,
        python: Path,
        script: str,
        *,
        peer: str,
        env: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        """Start ``drivers/SCRIPT`` under the interpreter ``python``. Raises PeerFailed."""
        self._peer = peer
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        # -P: the drivers' folder must not shadow the packages they import.
        command = [str(python), "-P", str(DRIVERS / "wire.py"), str(DRIVERS / script), *arguments]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                env={**os.environ, **(env or {})},
            )
        except OSError as error:
            self._log.close()
            raise PeerFailed(
                f"{python} did not start: {error}.", peer=peer, remedy="Run make peers."
            ) from None

    @property
    def peer(self) -> str:
        """Which contender it is."""
        return self._peer

    def call(self, operation: str, *, timeout_s: float = 300.0, **arguments: object) -> Any:
        """Send one operation and return its result. Raises PeerFailed."""
        line = json.dumps({"operation": operation, **arguments})
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise self._failure(operation, "its process has ended") from None
        answer = json.loads(self._read_line(operation, timeout_s))
        if "error" in answer:
            raise self._failure(operation, answer["error"])
        return answer["result"]

    def close(self) -> None:
        """End the process: ask, then insist. Idempotent."""
        process = self._process
        if process.stdin is not None and not process.stdin.closed:
            try:
                process.stdin.close()
            except OSError:
                process.kill()
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _read_line(self, operation: str, timeout_s: float) -> bytes:
        """One whole line of the process's standard output."""
        assert self._process.stdout is not None
        deadline, line = time.monotonic() + timeout_s, b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not selector.select(max(deadline - time.monotonic(), 0.0)):
                    self._process.kill()
                    raise self._failure(operation, f"no answer within {timeout_s:.0f} s")
                chunk = os.read(self._process.stdout.fileno(), 1 << 16)
                if not chunk:
                    raise self._failure(operation, "its process has ended")
                line += chunk
        return line

    def _failure(self, operation: str, why: str) -> PeerFailed:
        self._log.seek(0)
        tail = self._log.read()[-TAIL_CHARS:].strip()
        words = f" Its last words: {tail}" if tail else ""
        return PeerFailed(f"{self._peer} failed to {operation}: {why}.{words}", peer=self._peer)

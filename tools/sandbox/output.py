"""What becomes of a command's output: it is kept in part, or passed on as it comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

__all__ = ["KeptOutput", "Output", "PassedOutput"]

SLACK_BYTES = 1 << 16
"""How far the tail may grow before it is cut: cutting at each read would copy it each time."""


class Output(Protocol):
    """One of a command's two streams."""

    num_bytes: int
    """How much the command wrote."""

    def add(self, data: bytes) -> None: ...

    def kept(self) -> bytes: ...

    @property
    def num_dropped(self) -> int:
        """How much was neither kept nor passed on."""
        ...


class KeptOutput:
    """The head and the tail of a stream that may be endless, and how much was between."""

    def __init__(self, keep_bytes: int) -> None:
        self.head = bytearray()
        self.tail = bytearray()
        self.num_bytes = 0
        self._head_bytes = keep_bytes - keep_bytes // 2
        self._tail_bytes = keep_bytes // 2

    def add(self, data: bytes) -> None:
        self.num_bytes += len(data)
        room = self._head_bytes - len(self.head)
        self.head += data[:room]
        self.tail += data[room:]
        if len(self.tail) > 2 * self._tail_bytes + SLACK_BYTES:
            self._cut()

    def _cut(self) -> None:
        del self.tail[: max(0, len(self.tail) - self._tail_bytes)]

    def kept(self) -> bytes:
        self._cut()
        return bytes(self.head + self.tail)

    @property
    def num_dropped(self) -> int:
        return max(0, self.num_bytes - self._head_bytes - self._tail_bytes)


class PassedOutput:
    """A stream that is passed on as it comes, up to a number of bytes; nothing of it is kept."""

    def __init__(self, pass_bytes: int, send: Callable[[bytes], None]) -> None:
        self.num_bytes = 0
        self._pass_bytes = pass_bytes
        self._send = send

    def add(self, data: bytes) -> None:
        room = max(0, self._pass_bytes - self.num_bytes)
        self.num_bytes += len(data)
        if passed := data[:room]:
            self._send(passed)

    def kept(self) -> bytes:
        return b""

    @property
    def num_dropped(self) -> int:
        return max(0, self.num_bytes - self._pass_bytes)

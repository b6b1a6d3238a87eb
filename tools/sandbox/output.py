"""The head and the tail of a stream that may be endless."""

from __future__ import annotations

__all__ = ["Output"]

SLACK_BYTES = 1 << 16
"""How far the tail may grow before it is cut: cutting at each read would copy it each time."""


class Output:
    """The head and the tail of a stream, and how much was between."""

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

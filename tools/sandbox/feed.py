"""What a command is given to read, as fast as it reads."""

from __future__ import annotations

import os
import select

__all__ = ["CommandFeed"]

CHUNK = 1 << 16


class CommandFeed:
    """Writes into a command's standard input whenever ``poll`` says that it takes more.

    ``is_last`` says that nothing follows ``data``: the input is closed behind it. Owns the
    descriptor. Close it always.
    """

    def __init__(self, fd: int, poll: select.poll, data: bytes, *, is_last: bool) -> None:
        self.fd = fd
        self._poll = poll
        self._left = memoryview(b"")
        self._is_last = False
        self._is_polled = False
        os.set_blocking(fd, False)
        self.add(data, is_last=is_last)

    @property
    def num_bytes(self) -> int:
        """How much the command has not taken yet."""
        return len(self._left)

    def add(self, data: bytes, *, is_last: bool) -> None:
        """More for the command; nothing where it has closed its input."""
        if self.fd >= 0:
            self._left = memoryview(bytes(self._left) + data)
            self._is_last |= is_last
            self._go_on()

    def feed(self) -> None:
        """Write what the command takes at once."""
        try:
            self._left = self._left[os.write(self.fd, self._left[:CHUNK]) :]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._left, self._is_last = memoryview(b""), True
        self._go_on()

    def _go_on(self) -> None:
        """Have it polled while there is something to write; close it behind the last."""
        if self._left and not self._is_polled:
            self._poll.register(self.fd, select.POLLOUT)
        if not self._left and self._is_polled:
            self._poll.unregister(self.fd)
        self._is_polled = bool(self._left)
        if self._is_last and not self._left:
            self.close()

    def close(self) -> None:
        """Close the input; nothing more reaches the command."""
        if self.fd >= 0:
            if self._is_polled:
                self._poll.unregister(self.fd)
            os.close(self.fd)
        self.fd, self._left, self._is_polled = -1, memoryview(b""), False

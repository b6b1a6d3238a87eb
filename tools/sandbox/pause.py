"""A call that waits at its memory limit until somebody decides whether it gets more."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from contextlib import suppress

from weft.tools.sandbox.group import CallGroup

__all__ = ["MemoryPause"]

DECISION_S = 2.0
"""A call that waits holds memory that others wait for: without an answer by then it is killed."""


class MemoryPause:
    """Asks once for each time that a call is stopped at its limit. Close it always.

    Does nothing where the call's cgroup cannot stop it there.
    """

    def __init__(self, group: CallGroup, poll: select.poll, ask: Callable[[], None]) -> None:
        self._group = group
        self._poll = poll
        self._ask = ask
        self._decide_by: float | None = None
        self._is_over = False
        """The kernel may kill in the call; it tells of that too."""
        self.grown_to: int | None = None
        """The last limit that was granted."""
        self.fd = group.watch_limit()
        if self.fd >= 0:
            poll.register(self.fd, select.POLLIN)

    def notice(self) -> None:
        """The descriptor is readable: the call waits, or did."""
        with suppress(BlockingIOError):
            os.eventfd_read(self.fd)
        if self._decide_by is not None or self._is_over:
            return
        if self._group.is_at_limit():
            self._decide_by = time.monotonic() + DECISION_S
            self._ask()
        else:
            # Raising the two limits wakes a call twice, and it may be stopped in between; if it
            # stood still only after the second, nothing else would wake it.
            self._group.wake()

    def decide(self, memory_bytes: int | None) -> None:
        """Let the call go on with a greater limit; None: let the kernel kill in it."""
        if self._decide_by is None:
            return
        self._decide_by = None
        if memory_bytes is not None:
            try:
                self._group.grow(memory_bytes)
            except OSError:
                memory_bytes = None
            else:
                self.grown_to = memory_bytes
        if memory_bytes is None:
            self._is_over = True
            self._group.let_kill()

    def look(self, now: float) -> None:
        """Decide where nobody did in time."""
        if self._decide_by is not None and now >= self._decide_by:
            self.decide(None)

    def close(self) -> None:
        if self.fd >= 0:
            self._poll.unregister(self.fd)
            os.close(self.fd)
            self.fd = -1

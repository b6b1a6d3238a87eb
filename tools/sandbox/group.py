"""The cgroup of one call, made and removed by the launcher."""

from __future__ import annotations

import errno
import os
import time
from contextlib import suppress
from typing import Any

__all__ = ["CallGroup"]

RMDIR_TRIES = 200
RMDIR_PAUSE_S = 0.005
AT_LIMIT_BYTES = 1 << 20
"""A call is stopped when it lacks a few pages, and while it is stopped it takes none."""
COUNTERS = ("memory", "memory.memsw")
"""Of version 1: without and with swap. The kernel may have been started without the second."""


class CallGroup:
    """The cgroup of one call, one folder per hierarchy; ``plan`` says which files hold what."""

    def __init__(self, plan: dict[str, Any] | None, number: int) -> None:
        self._plan = plan or {
            **{"bases": [], "settings": [], "readings": {}},
            **{"join": "", "pausing": None},
        }
        name = f"weft-{os.getpid()}-{number}"
        self._folders = [f"{base}/{name}" for base in self._plan["bases"]]

    def create(self) -> None:
        for folder in self._folders:
            os.mkdir(folder)
        for index, file, value, is_needed in self._plan["settings"]:
            try:
                _write(f"{self._folders[index]}/{file}", value)
            except OSError:
                if is_needed:
                    raise

    def join(self) -> None:
        for folder in self._folders:
            _write(f"{folder}/{self._plan['join']}", "0")

    def watch_limit(self) -> int:
        """A descriptor that becomes readable when the call is stopped at its memory limit.

        -1 where its plan does not stop it. The caller closes it.
        """
        if (index := self._plan["pausing"]) is None:
            return -1
        event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        control = os.open(f"{self._folders[index]}/memory.oom_control", os.O_RDONLY)
        try:
            _write(f"{self._folders[index]}/cgroup.event_control", f"{event} {control}")
        finally:
            os.close(control)
        return event

    def is_at_limit(self) -> bool:
        """Whether a call that is stopped lacks memory still."""
        for counter in COUNTERS:
            with suppress(FileNotFoundError):
                usage = int(self._memory(f"{counter}.usage_in_bytes"))
                if usage > int(self._memory(f"{counter}.limit_in_bytes")) - AT_LIMIT_BYTES:
                    return True
        return False

    def grow(self, memory_bytes: int) -> None:
        """Give a stopped call a greater memory limit; it goes on.

        Raises OSError, also where the limit is not greater.
        """
        before = int(self._memory("memory.limit_in_bytes"))
        with suppress(FileNotFoundError):
            # First the limit that includes swap, which may never be the lesser one.
            self._set_memory("memory.memsw.limit_in_bytes", memory_bytes)
        self._set_memory("memory.limit_in_bytes", memory_bytes)
        if int(self._memory("memory.limit_in_bytes")) <= before:
            raise OSError(errno.EINVAL, "The call has as much already.")

    def wake(self) -> None:
        """Have a stopped call try again; one that still lacks memory is stopped again.

        The kernel does so when a limit is raised, which one page is enough for. Raises OSError.
        """
        with suppress(FileNotFoundError):
            limit = int(self._memory("memory.memsw.limit_in_bytes"))
            self._set_memory("memory.memsw.limit_in_bytes", limit + os.sysconf("SC_PAGESIZE"))

    def let_kill(self) -> None:
        """Have the kernel kill in a stopped call. Raises OSError."""
        self._set_memory("memory.oom_control", 0)

    def readings(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for key, (index, file) in self._plan["readings"].items():
            with suppress(OSError), open(f"{self._folders[index]}/{file}") as stream:
                found[key] = stream.read()
        return found

    def remove(self) -> None:
        """Remove the folders, which no process is in any more: the kernel may need a moment."""
        for folder in self._folders:
            for _ in range(RMDIR_TRIES):
                try:
                    os.rmdir(folder)
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(RMDIR_PAUSE_S)
                else:
                    break

    def _memory(self, file: str) -> str:
        with open(f"{self._folders[self._plan['pausing']]}/{file}") as stream:
            return stream.read()

    def _set_memory(self, file: str, value: int) -> None:
        _write(f"{self._folders[self._plan['pausing']]}/{file}", str(value))


def _write(path: str, value: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, value.encode())
    finally:
        os.close(descriptor)

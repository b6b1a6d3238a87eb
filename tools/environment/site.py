"""Where environments are made, and how much they may take together."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from weft.errors import EnvironmentFailed, InvalidRequest

__all__ = ["Site"]

GIB = 1 << 30


class Site:
    """A folder with a share of the disk and a number of ports, for all environments made in it.

    Safe to use from threads. Raises InvalidRequest for a folder that is not there.
    """

    def __init__(self, folder: Path, *, disk_bytes: int = 4 * GIB, num_ports: int = 16) -> None:
        if not folder.is_dir():
            raise InvalidRequest(f"There is no folder {str(folder)!r}.", remedy="Make it first.")
        self.folder = folder
        self.disk_bytes = disk_bytes
        self.num_ports = num_ports
        self._lock = threading.Lock()
        self._taken_bytes = 0
        self._ports: set[int] = set()

    @property
    def taken_bytes(self) -> int:
        """Gauge: what environments have taken of the disk."""
        return self._taken_bytes

    @property
    def num_ports_taken(self) -> int:
        """Gauge: ports that are lent."""
        return len(self._ports)

    def take_disk(self, size_bytes: int) -> None:
        """Count bytes about to be written. Raises EnvironmentFailed beyond the quota."""
        with self._lock:
            if self._taken_bytes + size_bytes > self.disk_bytes:
                raise EnvironmentFailed(
                    f"Environments would take more than their {self.disk_bytes} bytes of disk.",
                    remedy="Prepare less at a time, or raise the site's disk_bytes.",
                )
            self._taken_bytes += size_bytes

    def give_disk(self, size_bytes: int) -> None:
        """What was taken is free again."""
        with self._lock:
            self._taken_bytes -= size_bytes

    @contextmanager
    def lend_port(self, port: int) -> Generator[int]:
        """Keep a port from being lent twice. Raises EnvironmentFailed beyond the quota."""
        with self._lock:
            if len(self._ports) >= self.num_ports:
                raise EnvironmentFailed(
                    f"All {self.num_ports} ports of the site are lent.",
                    remedy="Wait until one is given back, or raise the site's num_ports.",
                )
            if port in self._ports:
                raise EnvironmentFailed(f"Port {port} is lent already.", remedy="Ask again.")
            self._ports.add(port)
        try:
            yield port
        finally:
            with self._lock:
                self._ports.discard(port)

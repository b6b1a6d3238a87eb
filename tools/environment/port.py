"""A free TCP port of this machine's own address."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from weft.tools.environment.site import Site

__all__ = ["HOST", "PortNeed"]

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class PortNeed:
    """A port of 127.0.0.1 that nobody uses and the site lends to nobody else. It is kept free,
    not held: a foreign program of the machine may still be faster."""

    @asynccontextmanager
    async def open(self, site: Site) -> AsyncGenerator[int]:
        """Raises EnvironmentFailed beyond the site's ports."""
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port: int = probe.getsockname()[1]
        with site.lend_port(port):
            yield port

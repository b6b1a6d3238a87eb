"""A workspace that shares what it begins with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from weft.tools.environment.site import Site
from weft.tools.environment.waiting import until_done
from weft.tools.workspace import Layer, Workspace, Workspaces

__all__ = ["WorkspaceNeed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceNeed:
    """A workspace of ``workspaces`` that begins with shared layers, the first on top. What was not
    committed by the end is discarded."""

    workspaces: Workspaces
    layers: tuple[Layer, ...] = ()
    name: str | None = None
    """Where there is one, it begins with the last commit under it."""

    @asynccontextmanager
    async def open(self, site: Site) -> AsyncGenerator[Workspace]:
        """Raises InvalidRequest for a name that is in use, OSError."""
        # Where workspaces are copies this takes long: the loop must not wait for it.
        making = asyncio.ensure_future(
            asyncio.to_thread(self.workspaces.create, self.layers, name=self.name)
        )
        try:
            await until_done(making)
            yield making.result()
        finally:
            if making.done() and not making.cancelled() and making.exception() is None:
                making.result().discard()

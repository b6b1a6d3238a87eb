"""A SQLite database file made from a script."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from weft.tools.environment.site import Site
from weft.tools.environment.waiting import StopAsked, run_stoppable

__all__ = ["DatabaseNeed"]

TICK_OPS = 10_000
"""Steps of SQLite's virtual machine between two looks at whether to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseNeed:
    """A database file filled by an SQL script of the program's author, never of a model."""

    script: str
    max_bytes: int = 256 << 20
    """What the file may hold; as much of the site's disk is taken while it is there."""

    @asynccontextmanager
    async def open(self, site: Site) -> AsyncGenerator[Path]:
        """Raises sqlite3.Error for what the script does wrong, EnvironmentFailed beyond the
        site's disk."""
        site.take_disk(self.max_bytes)
        try:
            with TemporaryDirectory(prefix="database-", dir=site.folder) as folder:
                path = Path(folder) / "database.sqlite"
                await run_stoppable(lambda check: self._fill(path, check))
                yield path
        finally:
            site.give_disk(self.max_bytes)

    def _fill(self, path: Path, check: Callable[[], None]) -> None:
        def must_stop() -> bool:
            try:
                check()
            except StopAsked:
                return True
            return False

        with closing(sqlite3.connect(path)) as database:
            [page_bytes] = database.execute("PRAGMA page_size").fetchone()
            database.execute(f"PRAGMA max_page_count = {self.max_bytes // page_bytes}")
            database.set_progress_handler(must_stop, TICK_OPS)
            database.executescript(self.script)

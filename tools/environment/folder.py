"""A workspace as a plain folder, filled with copies of other folders."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import mkdtemp

from weft.tools.environment.site import Site
from weft.tools.environment.waiting import run_stoppable

__all__ = ["FolderNeed"]

BLOCK_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderNeed:
    """A folder of its own with what ``layers`` hold; a later layer replaces what an earlier one
    has under the same name. Links are copied as links. The layers stay as they are."""

    layers: tuple[Path, ...] = ()

    @asynccontextmanager
    async def open(self, site: Site) -> AsyncGenerator[Path]:
        """Raises EnvironmentFailed beyond the site's disk, OSError."""
        folder = Path(mkdtemp(prefix="workspace-", dir=site.folder))
        copier = _Copier(site)
        try:
            for layer in self.layers:
                await run_stoppable(partial(copier.copy, layer, folder))
            yield folder
        finally:
            try:
                await run_stoppable(lambda _: remove(folder))
            finally:
                site.give_disk(copier.taken_bytes)


class _Copier:
    def __init__(self, site: Site) -> None:
        self._site = site
        self.taken_bytes = 0

    def copy(self, source: Path, target: Path, check: Callable[[], None]) -> None:
        with os.scandir(source) as entries:
            for entry in entries:
                check()
                self._copy_entry(entry, target / entry.name, check)

    def _copy_entry(self, entry: os.DirEntry[str], target: Path, check: Callable[[], None]) -> None:
        state = entry.stat(follow_symlinks=False)
        if entry.is_dir(follow_symlinks=False):
            if target.is_symlink() or not target.is_dir():
                target.unlink(missing_ok=True)
                target.mkdir()
                self._take(BLOCK_BYTES)
            self.copy(Path(entry.path), target, check)
            shutil.copystat(entry.path, target, follow_symlinks=False)
        elif stat.S_ISREG(state.st_mode) or stat.S_ISLNK(state.st_mode):
            if target.is_dir() and not target.is_symlink():
                remove(target)
            target.unlink(missing_ok=True)
            self._take(max(BLOCK_BYTES, state.st_size))
            shutil.copy2(entry.path, target, follow_symlinks=False)

    def _take(self, size_bytes: int) -> None:
        self._site.take_disk(size_bytes)
        self.taken_bytes += size_bytes


def remove(folder: Path) -> None:
    """Remove a folder whose owner may have made parts of it unreadable."""
    os.chmod(folder, 0o700)
    for _, inner, _, descriptor in os.fwalk(folder):
        for name in inner:
            state = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            if stat.S_ISDIR(state.st_mode):
                os.chmod(name, 0o700, dir_fd=descriptor)
    shutil.rmtree(folder)

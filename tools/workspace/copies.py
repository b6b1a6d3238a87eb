"""A workspace as a whole copy, where the system mounts no overlay for this user."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from weft.tools.workspace.content import has_moved
from weft.tools.workspace.layers import Layer, LayerStore
from weft.tools.workspace.trees import copy_tree, fingerprint, opened, remove_tree

__all__ = ["CopiedContent"]


class CopiedContent:
    """The files of one workspace, its own all of them.

    The blocks of a file are shared with its copies where the file system can share them until
    they are written to. They are never hard links: a program that writes in place would write
    into every copy.
    """

    def __init__(self, store: LayerStore, layers: Iterable[Layer]) -> None:
        self._store = store
        self._origin = ""
        """The fingerprint of what it was forked from, at that time."""
        self.path = store.make().path
        for layer in layers:
            _copy(layer.path, self.path)

    @property
    def measured(self) -> Path:
        return self.path

    def fork(self) -> CopiedContent:
        child = CopiedContent(self._store, [Layer(self.path, is_base=True)])
        child._origin = _fingerprint(self.path)
        return child

    def take(self, child: CopiedContent) -> None:
        if _fingerprint(self.path) != child._origin:
            raise has_moved()
        old = self._store.next_path()
        os.rename(self.path, old)
        os.rename(child.path, self.path)
        remove_tree(str(old))

    def save(self, folder: Path) -> Layer:
        os.mkdir(folder, 0o755)
        _copy(self.path, folder)
        return Layer(folder)

    def close(self) -> None:
        remove_tree(str(self.path))


def _copy(source: Path, target: Path) -> None:
    with opened(source) as old, opened(target) as new:
        copy_tree(old, new)


def _fingerprint(path: Path) -> str:
    with opened(path) as folder:
        return fingerprint(folder)

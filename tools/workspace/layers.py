"""Folders that workspaces share and nobody changes any more."""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from weft.tools.workspace.trees import both, copy_state, opened, remove_tree

__all__ = ["Layer", "LayerStore"]

OPAQUE = "trusted.overlay.opaque"
"""Set on a folder that hides what lies under it."""


class Layer:
    """One folder of a stack of layers; it is removed with its last holder."""

    def __init__(self, path: Path, *, is_base: bool = False) -> None:
        self.path = path
        self.is_base = is_base
        """It was given from outside and is never removed, changed or merged."""
        self.num_holders = 0


class LayerStore:
    """Makes, counts and removes layers in one folder."""

    def __init__(self, folder: Path, uid: int | None) -> None:
        self.folder = folder
        self.uid = uid
        self._numbers = itertools.count(1)

    def make(self) -> Layer:
        """A new, empty layer without a holder, owned by the user of the commands."""
        layer = Layer(self.next_path())
        os.mkdir(layer.path, 0o755)
        if self.uid is not None:
            os.chown(layer.path, self.uid, self.uid)
        return layer

    def next_path(self) -> Path:
        """A path that nothing has been made at."""
        return self.folder / str(next(self._numbers))

    def hold(self, layers: Iterable[Layer]) -> None:
        for layer in layers:
            layer.num_holders += 1

    def drop(self, layers: Iterable[Layer]) -> None:
        """Give layers up; those that nobody holds any more are removed."""
        for layer in layers:
            layer.num_holders -= 1
            if layer.num_holders == 0 and not layer.is_base:
                remove_tree(str(layer.path))

    def merge(self, layers: Iterable[Layer]) -> Layer:
        """One layer that shows what these show, given from the top down. Raises OSError.

        Takes no room but for its folders: files of layers never change, so they are linked.
        """
        merged = self.make()
        with opened(merged.path) as target:
            for layer in layers:
                with opened(layer.path) as source:
                    _lay_under(source, target)
        return merged


def _lay_under(source: int, target: int, depth: int = 0) -> None:
    """Add to an open folder what another shows where nothing of the first hides it.

    What marks a name as removed hides it too, and is itself a file that is linked.
    """
    if _is_opaque(target):
        return
    shown = {name: _is_folder(name, target) for name in os.listdir(target)}
    for name in os.listdir(source):
        if not _is_folder(name, source):
            if name not in shown:
                os.link(name, name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
        elif shown.get(name, True):
            with both(source, target, name, depth) as (inner, made):
                _lay_under(inner, made, depth + 1)
                if name not in shown:
                    copy_state(inner, made)
    if _is_opaque(source):
        os.setxattr(target, OPAQUE, b"y")


def _is_folder(name: str, parent: int) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)


def _is_opaque(folder: int) -> bool:
    try:
        return os.getxattr(folder, OPAQUE) == b"y"
    except OSError:
        return False

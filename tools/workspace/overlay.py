"""A workspace as a stack of shared layers with one of its own on top, shown by overlayfs."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from weft.errors import InvalidRequest
from weft.tools.sandbox.mounts import allow_writes, forbid_writes, mount, unmount
from weft.tools.workspace.content import has_moved
from weft.tools.workspace.layers import Layer, LayerStore
from weft.tools.workspace.trees import is_empty, remove_tree

__all__ = ["OverlayContent"]

MS_NOSUID, MS_NODEV = 2, 4
OPTIONS = "index=off,redirect_dir=off,metacopy=off,xino=off,volatile"
"""Nothing that would tie a layer to one stack. What is to last is synced by those who want it to:
else each fork would wait for the disk."""
MAX_OPTION_BYTES = 4000
"""The kernel takes one page of options."""
MAX_LAYERS = 24
"""Each layer is one more look-up for a name that is not there."""


class OverlayContent:
    """The layers of one workspace, the top one its own, mounted at ``path``.

    Needs root. Forking freezes the top layer: it becomes one that both share, and each gets a new
    one. So a fork takes as long as two mounts, however much is in it.
    """

    def __init__(self, store: LayerStore, layers: Iterable[Layer]) -> None:
        self._store = store
        self._layers = tuple(layers)
        self._origin = self._layers
        """The layers of what it was forked from, at that time."""
        self._place = store.next_path()
        self._num_mounts = 0
        self._is_open = True
        self.path = self._place / "m"
        os.makedirs(self.path)
        self._top = store.make()
        store.hold([self._top, *self._layers])
        try:
            self._mount()
        except BaseException:
            self._release()
            raise

    @property
    def measured(self) -> Path:
        return self._top.path

    def fork(self) -> OverlayContent:
        if not is_empty(str(self._top.path)):
            self._stop_writes()
            self._show(self._all())
        return OverlayContent(self._store, self._layers)

    def take(self, child: OverlayContent) -> None:
        child._stop_writes()
        try:
            self._stop_writes()
            if self._layers != child._origin or not is_empty(str(self._top.path)):
                allow_writes(str(self.path))
                raise has_moved()
        except BaseException:
            allow_writes(str(child.path))
            raise
        self._show(child._all())
        child.close()

    def save(self, folder: Path) -> Layer:
        self._stop_writes()
        saved = self._store.merge(layer for layer in self._all() if not layer.is_base)
        os.rename(saved.path, folder)
        saved.path = folder
        self._show((saved, *(layer for layer in self._layers if layer.is_base)))
        return saved

    def _all(self) -> tuple[Layer, ...]:
        return self._layers if is_empty(str(self._top.path)) else (self._top, *self._layers)

    def _stop_writes(self) -> None:
        """Raises InvalidRequest while a process has a file open for writing."""
        try:
            forbid_writes(str(self.path))
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            raise InvalidRequest(
                "A command still writes to the workspace.", remedy="Wait for its end, or end it."
            ) from error

    def _show(self, layers: tuple[Layer, ...]) -> None:
        """Show other layers at the same path, under a new top. Writes must have stopped."""
        old = (self._top, *self._layers)
        self._store.hold(layers)
        self._top = self._store.make()
        self._store.hold([self._top])
        self._layers = self._fitting(layers)
        unmount(str(self.path))
        self._mount()
        self._store.drop(old)

    def _fitting(self, layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
        """The same layers, the own ones as one where there would be too many for a mount."""
        if len(layers) <= MAX_LAYERS and len(self._options(layers)) <= MAX_OPTION_BYTES:
            return layers
        for number in range(1, self._num_mounts):
            remove_tree(str(self._place / str(number)))
        bases = tuple(layer for layer in layers if layer.is_base)
        fewer = (self._store.merge(layer for layer in layers if not layer.is_base), *bases)
        self._store.hold(fewer)
        self._store.drop(layers)
        return fewer

    def _options(self, layers: tuple[Layer, ...]) -> str:
        lower = ":".join(_escaped(layer.path) for layer in layers)
        upper, work = _escaped(self._top.path), _escaped(self._place / str(self._num_mounts))
        return f"lowerdir={lower},upperdir={upper},workdir={work},{OPTIONS}"

    def _mount(self) -> None:
        """Mount what the layers show; the folder that the kernel works in is new each time.

        Old ones are removed at the end, or when layers are merged: both may wait for the disk.
        """
        self._num_mounts += 1
        os.mkdir(self._place / str(self._num_mounts), 0o700)
        options = self._options(self._layers)
        mount("weft", str(self.path), "overlay", MS_NOSUID | MS_NODEV, options)

    def close(self) -> None:
        if self._is_open:
            unmount(str(self.path))
            self._release()

    def _release(self) -> None:
        self._is_open = False
        remove_tree(str(self._place))
        self._store.drop([self._top, *self._layers])


def _escaped(path: Path) -> str:
    text = str(path).replace("\\", "\\\\")
    return text.replace(":", "\\:").replace(",", "\\,")

"""Workspaces of one process, on overlayfs where the machine gives it."""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from weft.errors import InvalidRequest
from weft.tools.sandbox.owner import session_uid
from weft.tools.workspace.content import Content
from weft.tools.workspace.copies import CopiedContent
from weft.tools.workspace.kept import Kept
from weft.tools.workspace.layers import Layer, LayerStore
from weft.tools.workspace.overlay import OverlayContent
from weft.tools.workspace.owner import locked, own_folder, sweep
from weft.tools.workspace.trees import copy_tree, opened
from weft.tools.workspace.workspace import Workspace

__all__ = ["Workspaces"]

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


class Workspaces:
    """Makes workspaces in one folder of the disk; they end with the context.

    As root on most machines they are overlays: what they begin with is there once, read by all,
    and a fork takes about a millisecond. Elsewhere each is a copy.
    """

    def __init__(self, root: Path, own: Path, *, reason: str | None) -> None:
        self._root = root
        self._store = LayerStore(own, session_uid(root))
        self._living: set[Workspace] = set()
        self.reason = self._overlay_problem() if reason is None else reason
        """Why workspaces are copies here, as a sentence for a person; "" where they are not."""

    @classmethod
    @contextmanager
    def open(cls, root: Path, *, uses_overlays: bool = True) -> Generator[Workspaces]:
        """Workspaces in a folder that nothing else uses, for the length of the context.

        Removes first what killed processes left there, mounts too. At the end all workspaces are
        removed; of named ones the last commit stays. Other processes may use the same folder.
        Raises InvalidRequest for a path that is not absolute, OSError where the folder cannot be
        written to.
        """
        if not root.is_absolute():
            raise InvalidRequest(
                f"The folder for workspaces is {str(root)!r}.", remedy="Give an absolute path."
            )
        for folder in (root, root / "own", root / "kept"):
            folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        sweep(root / "own")
        with own_folder(root / "own") as own:
            reason = None if uses_overlays else "Workspaces are copies, as was asked for."
            workspaces = cls(root, own, reason=reason)
            try:
                yield workspaces
            finally:
                for workspace in tuple(workspaces._living):
                    workspace.discard()

    def share(self, folder: Path) -> Layer:
        """Take a copy of a folder that any number of workspaces may begin with, at no more cost.

        Changes of the folder that come later are not seen. Raises OSError.
        """
        layer = Layer(self._store.make().path, is_base=True)
        with opened(folder) as source, opened(layer.path) as target:
            copy_tree(source, target, self._store.uid)
        return layer

    def create(self, layers: Sequence[Layer] = (), *, name: str | None = None) -> Workspace:
        """A workspace that begins with what shared folders hold, the first on top of the others.

        One with a name begins with its last commit, by whichever process that was, over the same
        layers. Raises InvalidRequest for a name that is in use or none.
        """
        kept = None if name is None else self._kept(name)
        return Workspace(self._content(layers, kept), self._living, kept=kept)

    def _kept(self, name: str) -> Kept:
        if NAME.fullmatch(name) is None:
            raise InvalidRequest(
                f"The name of the workspace is {name!r}.",
                remedy="Use at most 100 letters, digits, dots, dashes and underscores.",
            )
        folder = self._root / "kept" / name
        with ExitStack() as lock:
            if not lock.enter_context(locked(folder.with_name(f"{name}.lock"))):
                raise InvalidRequest(
                    f"The workspace {name!r} is in use.", remedy="Close it where it is open."
                )
            kept = Kept(folder, self._store, is_whole=bool(self.reason))
            kept.lock = lock.pop_all()
            return kept

    def _content(self, layers: Sequence[Layer], kept: Kept | None) -> Content:
        last = None if kept is None else kept.layer
        if last is not None:
            layers = [last] if kept and kept.state.is_whole else [last, *layers]
        if self.reason:
            return CopiedContent(self._store, layers)
        return OverlayContent(self._store, layers or [self._empty()])

    def _empty(self) -> Layer:
        """The kernel wants one layer at least under a workspace's own."""
        return Layer(self._store.make().path, is_base=True)

    def _overlay_problem(self) -> str:
        if os.geteuid() != 0:
            return "Workspaces are copies: only root may mount overlays."
        try:
            OverlayContent(self._store, [self._empty()]).close()
        except OSError as error:
            return f"Workspaces are copies: no overlay can be mounted here ({error.strerror})."
        return ""

"""What a named workspace was when it was last committed: on the disk, whatever happens."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from weft.errors import InvalidRequest, JournalCorrupt
from weft.tools.workspace.content import Content
from weft.tools.workspace.layers import Layer, LayerStore
from weft.tools.workspace.trees import opened, remove_tree, sync_tree

__all__ = ["Kept", "KeptState"]

STATE = "state.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptState:
    """The last commit of a workspace."""

    number: int = 0
    """How many commits there were; the content of the last lies in the folder of that name."""
    key: str = ""
    """What the caller called it."""
    is_whole: bool = False
    """The content is whole by itself, and no layer on top of others."""


class Kept:
    """The commits of one named workspace, in a folder of its own that nobody else changes.

    Close it: that frees ``lock``, by which others know.
    """

    def __init__(self, folder: Path, store: LayerStore, *, is_whole: bool) -> None:
        self._folder = folder
        self._store = store
        self._is_whole = is_whole
        self.lock = ExitStack()
        folder.mkdir(mode=0o711, exist_ok=True)
        self.state = self._read()
        self._remove_others()
        self.layer: Layer | None = None
        """The content of the last commit; None where there was none."""
        if self.state.number:
            if is_whole and not self.state.is_whole:
                raise InvalidRequest(
                    f"The workspace {folder.name!r} was committed as a layer of an overlay.",
                    remedy="Open it as root, where overlays can be mounted.",
                )
            self._keep(Layer(folder / str(self.state.number)))

    def commit(self, content: Content, key: str) -> None:
        """Write what a workspace is to the disk; done once the new state has the old one's name.

        Killed at any point, either the last commit is found again or this one. Raises OSError.
        """
        state = KeptState(number=self.state.number + 1, key=key, is_whole=self._is_whole)
        layer = content.save(self._folder / str(state.number))
        with opened(layer.path) as content_folder:
            sync_tree(content_folder)
        new = self._folder / "new.json"
        with open(new, "w", encoding="utf-8") as stream:
            json.dump(asdict(state), stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.rename(new, self._folder / STATE)
        with opened(self._folder) as named:
            os.fsync(named)
        self.state = state
        self._keep(layer)

    def _keep(self, layer: Layer) -> None:
        """Hold the last commit for good; the one before it only as long as others hold it."""
        self._store.hold([layer])
        if self.layer is not None:
            self._store.drop([self.layer])
        self.layer = layer

    def close(self) -> None:
        self.lock.close()

    def _read(self) -> KeptState:
        try:
            text = (self._folder / STATE).read_text(encoding="utf-8")
        except FileNotFoundError:
            return KeptState()
        try:
            return KeptState(**json.loads(text))
        except (ValueError, TypeError) as error:
            raise JournalCorrupt(
                f"{self._folder / STATE} cannot be what was written: {error}.",
                remedy="Remove the folder; the workspace then begins anew.",
            ) from error

    def _remove_others(self) -> None:
        """Remove what commits left that did not come to their end, and what they replaced."""
        for path in self._folder.iterdir():
            if path.is_dir() and path.name != str(self.state.number):
                remove_tree(str(path))
            elif not path.is_dir() and path.name != STATE:
                path.unlink()

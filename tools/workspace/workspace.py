"""A folder for commands that can be forked, committed and discarded."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import TracebackType
from typing import Self

from weft.errors import InvalidRequest
from weft.tools.sandbox import Sandbox, SandboxLimits, SandboxReport
from weft.tools.workspace.content import Content
from weft.tools.workspace.kept import Kept

__all__ = ["Workspace"]


class Workspace:
    """Files at ``path``, apart from all other workspaces. ``Workspaces.create`` makes the first.

    A fork begins with what its parent holds, and is a transaction: nothing that is done in it
    reaches the parent unless it is committed. Used as a context, a workspace that was not
    committed is discarded at the end of it.

    No call waits for another process: each blocks for about a millisecond on overlayfs, and for
    as long as the copying takes elsewhere. Use a workspace from one thread at a time.
    """

    def __init__(
        self,
        content: Content,
        living: set[Workspace],
        *,
        parent: Workspace | None = None,
        kept: Kept | None = None,
    ) -> None:
        self._content = content
        self._parent = parent
        self._kept = kept
        self._living = living
        """Every workspace that is open, this one among them."""
        living.add(self)

    @property
    def path(self) -> Path:
        """Where its files are. Code may have planted links: read through ``read_beneath``."""
        return self._content.path

    @property
    def measured(self) -> Path:
        """The folder that holds what this workspace does not share, and grows with it."""
        return self._content.measured

    @property
    def key(self) -> str:
        """The key of the last commit to the disk; "" where there was none."""
        return "" if self._kept is None else self._kept.state.key

    def sandbox(
        self, report: SandboxReport, limits: SandboxLimits
    ) -> AbstractAsyncContextManager[Sandbox]:
        """A sandbox whose commands run here. Only what the workspace itself holds counts as growth.

        It may stay open while the workspace is forked or takes a fork's commit.
        """
        self._check_open()
        return Sandbox.open(report, self.path, limits, measured=lambda: self._content.measured)

    def fork(self) -> Workspace:
        """A workspace with the same files. Raises InvalidRequest while a command writes here."""
        self._check_open()
        return Workspace(self._content.fork(), self._living, parent=self)

    def commit(self, key: str = "") -> None:
        """Give what was done here to the parent, and close; without one, to the disk for good.

        A named workspace is found as it was committed last, whenever its process was killed; of
        ``key`` one can then tell which call that was. Raises InvalidRequest where the parent was
        written to since the fork, where a command writes to either, and for a workspace that has
        neither parent nor name; nothing has changed then.
        """
        self._check_open()
        if self._parent is not None:
            self._parent._check_open()
            self._parent._content.take(self._content)
            self.discard()
        elif self._kept is not None:
            self._kept.commit(self._content, key)
        else:
            raise InvalidRequest(
                "The workspace has neither a parent nor a name to commit to.",
                remedy="Commit its forks to it, or create it with a name.",
            )

    def discard(self) -> None:
        """Forget what was not committed, and close. Calling it again does nothing."""
        if self in self._living:
            self._living.remove(self)
            self._content.close()
            if self._kept is not None:
                self._kept.close()

    def _check_open(self) -> None:
        if self not in self._living:
            raise InvalidRequest("The workspace is closed.", remedy="Fork its parent again.")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.discard()

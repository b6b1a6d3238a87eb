"""What a workspace is made of, whatever holds it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, Self

from weft.errors import InvalidRequest
from weft.tools.workspace.layers import Layer

__all__ = ["Content", "has_moved"]


class Content(Protocol):
    """Files at a path that stays the same, which can be forked and replaced. Raises OSError."""

    path: Path
    """Where the files are."""

    @property
    def measured(self) -> Path:
        """The folder that grows when they are written to."""
        ...

    def fork(self) -> Self:
        """A copy elsewhere; neither sees what is written to the other from now on."""
        ...

    def take(self, child: Self) -> None:
        """Become what a fork of it is; the fork is closed.

        Raises InvalidRequest where one of them is being written to, or this was since the fork.
        """
        ...

    def save(self, folder: Path) -> Layer:
        """Leave at a path that is free what content like this may begin with, not yet synced.

        Raises InvalidRequest where a command writes to it.
        """
        ...

    def close(self) -> None:
        """Remove the files. Calling it again does nothing."""
        ...


def has_moved() -> InvalidRequest:
    return InvalidRequest(
        "The workspace was written to after the fork that is to be committed to it.",
        remedy="Fork it again and repeat the work, or discard the fork.",
    )

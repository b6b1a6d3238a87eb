"""Whose cached blocks they are."""

from __future__ import annotations

from typing import Literal

__all__ = ["KvOwner", "Standing"]

Standing = Literal["kept", "demoted", "released"]
"""What becomes of blocks that nobody uses: ``released`` ones go first, then ``demoted`` ones;
``kept`` ones go last, the least recently used first. All but released ones may be kept outside the
pool."""


class KvOwner:
    """One program, as the prefix index knows it."""

    __slots__ = ("__weakref__", "name", "standing")

    def __init__(self, name: str) -> None:
        self.name = name
        self.standing: Standing = "kept"
        """Of the blocks that it alone has cached; whoever lowers it lets the tree ``reprice``."""

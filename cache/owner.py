"""Whose cached blocks they are."""

from __future__ import annotations

__all__ = ["KvOwner"]


class KvOwner:
    """One program, as the prefix index knows it."""

    __slots__ = ("__weakref__", "is_released", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_released = False
        """What only such owners have cached goes before all else."""

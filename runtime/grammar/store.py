"""A cache with a cap on bytes that forgets what was used longest ago."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["ByteCappedStore"]

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class ByteCappedStore(Generic[Key, Value]):
    """Not thread-safe: the owner locks."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[Key, tuple[Value, int]] = OrderedDict()
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Value | None:
        """The value, which is now the most recently used; ``None`` when it is not there."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: Key, value: Value, size_bytes: int) -> None:
        """Keep the value, evicting others. One larger than the cap is not kept at all."""
        self._drop(key)
        if size_bytes > self._max_bytes:
            return
        self._entries[key] = (value, size_bytes)
        self.size_bytes += size_bytes
        while self.size_bytes > self._max_bytes:
            _, (_, evicted_bytes) = self._entries.popitem(last=False)
            self.size_bytes -= evicted_bytes

    def _drop(self, key: Key) -> None:
        if key in self._entries:
            self.size_bytes -= self._entries.pop(key)[1]

"""A pin that must be released."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

__all__ = ["Lease"]


class Lease:
    """Holds something in place until released; releasing again does nothing.

    As a context manager it is released at the end of the block, however that ends.
    """

    __slots__ = ("_on_release",)

    def __init__(self, on_release: Callable[[], None]) -> None:
        """``on_release`` is called once, at the first release."""
        self._on_release: Callable[[], None] | None = on_release

    @property
    def is_released(self) -> bool:
        return self._on_release is None

    def release(self) -> None:
        on_release, self._on_release = self._on_release, None
        if on_release is not None:
            on_release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

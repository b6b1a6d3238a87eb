"""What one scope of a program needs, for as long as the scope lives."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from weft.errors import EnvironmentFailed
from weft.tools.environment.preparation import Preparation
from weft.tools.environment.site import Site

__all__ = ["Environment", "Need"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Need(Protocol[T_co]):
    """Something that can be made in a Site, and undone."""

    def open(self, site: Site) -> AbstractAsyncContextManager[T_co]:
        """Entering makes it; leaving undoes it, soon and whatever happened."""
        ...


class Environment:
    """``async with Environment() as environment:`` inside a program.

    ``prepare`` starts at once and goes on while the program queues and decodes; leaving the
    context, in whatever way, collects all in the opposite order.
    """

    def __init__(
        self, site: Site | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Without a ``site`` it has a temporary folder and quotas of its own."""
        self._given = site
        self._clock = clock
        self._site: Site | None = None
        self._own = ExitStack()
        self._preparations: list[Preparation[Any]] = []

    async def __aenter__(self) -> Self:
        if self._given is None:
            folder = self._own.enter_context(TemporaryDirectory(prefix="weft-site-"))
            self._site = Site(Path(folder))
        else:
            self._site = self._given
        return self

    def prepare(self, need: Need[T]) -> Preparation[T]:
        """Begin to make something. Raises EnvironmentFailed outside of the context."""
        if self._site is None:
            raise EnvironmentFailed(
                f"{need!r} was asked of an environment that is not open.",
                remedy="Prepare inside of 'async with Environment() as environment:'.",
            )
        opening = need.open(self._site)
        preparation = Preparation(type(need).__name__, opening, clock=self._clock)
        self._preparations.append(preparation)
        return preparation

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Raises EnvironmentFailed where something could not be undone; all else is undone."""
        self._site = None
        with self._own:
            await self._collect()

    async def _collect(self) -> None:
        try:
            while self._preparations:
                await self._preparations.pop().collect()
        finally:
            if self._preparations:
                await self._collect()

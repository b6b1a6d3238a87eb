"""Something that is made in the background, is there for a while, and is then undone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from typing import Any, Generic, TypeVar

from weft.errors import EnvironmentFailed, WeftError
from weft.tools.environment.waiting import until_done
from weft.tools.problems import describe_error

__all__ = ["Preparation"]

T = TypeVar("T")

MAKER: ContextVar[Preparation[Any] | None] = ContextVar("weft_maker", default=None)
"""The preparation that the running code belongs to; what it waits for, nobody may wait for yet."""


class Preparation(Generic[T]):
    """Begins at once. ``await`` gives what was made, as often as wanted, or raises why it could
    not be: EnvironmentFailed, or the WeftError that was met. A cancelled caller leaves it alone.

    One task enters ``opening`` and leaves it again in ``collect``, which must be called.
    """

    def __init__(
        self,
        name: str,
        opening: AbstractAsyncContextManager[T],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._clock = clock
        self._began_s = clock()
        self._waited_from_s: float | None = None
        self._needed: list[Preparation[Any]] = []
        self._ready_s: float | None = None
        self._value: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._value.add_done_callback(_look_at)
        self._is_released = asyncio.Event()
        self._task = asyncio.create_task(self._live(opening), name=f"prepare {name}")
        self._task.add_done_callback(self._never_begun)

    @property
    def is_ready(self) -> bool:
        """It was made, and awaiting it does not wait."""
        return self._ready_s is not None

    @property
    def hidden_share(self) -> float:
        """Of the time it took to make, the part in which nobody waited for it, nor for another
        preparation that waited for it; 0 before the end."""
        if self._ready_s is None:
            return 0.0
        took_s = self._ready_s - self._began_s
        waited_s = 0.0 if self._waited_from_s is None else self._ready_s - self._waited_from_s
        return 1.0 if took_s <= 0 else 1 - waited_s / took_s

    def __await__(self) -> Generator[Any, None, T]:
        return self._join().__await__()

    async def _join(self) -> T:
        if not self._value.done():
            maker = MAKER.get()
            if maker is None:
                self._is_waited_for(self._clock())
            else:
                maker._needs(self)
            await asyncio.wait({self._value})
        return self._value.result()

    def _needs(self, other: Preparation[Any]) -> None:
        self._needed.append(other)
        if self._waited_from_s is not None:
            other._is_waited_for(self._clock())

    def _is_waited_for(self, now_s: float) -> None:
        if self._waited_from_s is None and not self._value.done():
            self._waited_from_s = now_s
            for other in self._needed:
                other._is_waited_for(now_s)

    async def collect(self) -> None:
        """Undo it, or stop making it; returns when nothing of it is left, cancelled or not.

        May be called again. Raises EnvironmentFailed where it could not be undone.
        """
        if self._value.done():
            self._is_released.set()
        else:
            self._task.cancel()
        await until_done(self._task)
        error = None if self._task.cancelled() else self._task.exception()
        if error is not None:
            raise EnvironmentFailed(
                f"{self.name!r} could not be collected: {describe_error(error)}.",
                remedy="What is left of it must be removed by hand.",
            ) from error

    async def _live(self, opening: AbstractAsyncContextManager[T]) -> None:
        MAKER.set(self)
        try:
            async with opening as value:
                self._ready_s = self._clock()
                self._value.set_result(value)
                await self._is_released.wait()
        except BaseException as error:
            if self._value.done():
                raise
            self._value.set_exception(self._reason(error))
            if not isinstance(error, Exception):
                raise

    def _never_begun(self, task: asyncio.Task[None]) -> None:
        """A task that is cancelled before its first line says nothing by itself."""
        if not self._value.done():
            self._value.set_exception(self._reason(asyncio.CancelledError()))

    def _reason(self, error: BaseException) -> WeftError:
        if isinstance(error, WeftError):
            return error
        if isinstance(error, asyncio.CancelledError):
            return EnvironmentFailed(
                f"{self.name!r} was collected before it was ready.",
                remedy="Await it inside the scope that prepares it.",
            )
        failure = EnvironmentFailed(
            f"{self.name!r} could not be prepared: {describe_error(error)}.",
            remedy="Check what was declared.",
        )
        failure.__cause__ = error
        return failure


def _look_at(future: asyncio.Future[Any]) -> None:
    """A failure that nobody awaited is no mistake: the program may have gone another way."""
    if not future.cancelled():
        future.exception()

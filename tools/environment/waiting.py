"""Waiting for what must have ended, even when the one who waits is cancelled."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["StopAsked", "run_stoppable", "until_done"]

T = TypeVar("T")


class StopAsked(Exception):
    """Work was told to stop; raised in the work itself."""


async def until_done(future: asyncio.Future[Any]) -> None:
    """Wait for the end of what ends soon; a cancellation that came meanwhile is raised then."""
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait({future})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


async def run_stoppable(work: Callable[[Callable[[], None]], T]) -> T:
    """Run ``work(check)`` in a thread. It calls ``check`` often, which raises StopAsked after a
    cancellation; the cancelled caller goes on when the work has really ended."""
    stop = threading.Event()

    def check() -> None:
        if stop.is_set():
            raise StopAsked

    running = asyncio.ensure_future(asyncio.to_thread(work, check))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        stop.set()
        await until_done(running)
        if not running.cancelled():
            running.exception()  # looked at: nobody waits for it any more
        raise

"""Programs from code that is not async."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TypeVar

from weft.programs.budget import Budget
from weft.programs.entry import Program
from weft.runtime.engine.protocol import Engine
from weft.runtime.executor.run import Run
from weft.runtime.journal.store import Store
from weft.runtime.observe.bus import Observer

__all__ = ["run_sync"]

T = TypeVar("T")


def run_sync(
    program: Program[..., T],
    *args: object,
    engine: Engine,
    kwargs: Mapping[str, object] | None = None,
    store: Store | None = None,
    seed: int = 0,
    budget: Budget | None = None,
    observers: Sequence[Observer] = (),
) -> T:
    """Run a program on an event loop of its own and wait for its result.

    The engine stays open. Raises RuntimeError when a loop is running: use ``Run.start`` there.
    """

    async def go() -> T:
        run = await Run.start(
            program,
            *args,
            engine=engine,
            kwargs=kwargs,
            store=store,
            seed=seed,
            budget=budget,
            observers=observers,
        )
        async with run:
            return await run.result()

    return asyncio.run(go())

"""Preparation: begun at once, joined, failed, collected, cancelled in every phase."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from weft.errors import EnvironmentFailed, InvalidRequest
from weft.runtime.testing import ManualClock, settle
from weft.tools.environment import Preparation


class Making:
    """Something that is made and undone step by step, as a test lets it."""

    def __init__(self, error: Exception | None = None, end_error: Exception | None = None) -> None:
        self.log: list[str] = []
        self.made, self.undone = asyncio.Event(), asyncio.Event()
        self._error = error
        self._end_error = end_error

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[str]:
        self.log.append("begin")
        try:
            await self.made.wait()
            if self._error is not None:
                raise self._error
            yield "thing"
        finally:
            await self.undone.wait()
            self.log.append("undone")
            if self._end_error is not None:
                raise self._end_error


async def test_it_begins_at_once_and_everyone_gets_it() -> None:
    making = Making()
    preparation = Preparation("thing", making.open())
    await settle()
    assert making.log == ["begin"] and not preparation.is_ready
    joined = [asyncio.ensure_future(take(preparation)) for _ in range(3)]
    await settle()
    joined[0].cancel()
    making.made.set()
    assert await asyncio.gather(*joined[1:]) == ["thing", "thing"]
    assert joined[0].cancelled() and preparation.is_ready
    making.undone.set()
    await preparation.collect()
    await preparation.collect()
    assert making.log == ["begin", "undone"]


async def take(preparation: Preparation[str]) -> str:
    return await preparation


@pytest.mark.parametrize(
    ("raised", "wanted", "told"),
    [
        (OSError("disk full"), EnvironmentFailed, "'thing' could not be prepared: OSError: disk"),
        (InvalidRequest("No."), InvalidRequest, "No."),
    ],
)
async def test_a_failure_is_typed_and_told_to_everyone(
    raised: Exception, wanted: type[Exception], told: str
) -> None:
    making = Making(raised)
    making.made.set()
    making.undone.set()
    preparation = Preparation("thing", making.open())
    for _ in range(2):
        with pytest.raises(wanted, match=told):
            await preparation
    await preparation.collect()
    assert preparation.hidden_share == 0.0


async def test_a_failure_that_nobody_awaits_is_no_mistake() -> None:
    making = Making(OSError("x"))
    making.made.set()
    making.undone.set()
    preparation = Preparation("thing", making.open())
    await settle()
    await preparation.collect()


async def test_collected_while_it_is_made() -> None:
    making = Making()
    making.undone.set()
    preparation = Preparation("thing", making.open())
    joined = asyncio.ensure_future(take(preparation))
    await settle()
    await preparation.collect()
    assert making.log == ["begin", "undone"]
    with pytest.raises(EnvironmentFailed, match="collected before it was ready"):
        await joined


async def test_collected_before_it_has_begun() -> None:
    making = Making()
    preparation = Preparation("thing", making.open())
    await preparation.collect()
    assert making.log == []
    with pytest.raises(EnvironmentFailed, match="collected before it was ready"):
        await preparation


async def test_a_cancelled_collector_still_sees_the_end() -> None:
    making = Making()
    making.made.set()
    preparation = Preparation("thing", making.open())
    assert await preparation == "thing"
    collecting = asyncio.ensure_future(preparation.collect())
    await settle()
    for _ in range(3):
        collecting.cancel()
        await settle()
    assert not collecting.done()
    making.undone.set()
    await settle()
    assert collecting.cancelled() and making.log == ["begin", "undone"]


async def test_what_cannot_be_undone_is_told() -> None:
    making = Making(end_error=OSError("busy"))
    making.made.set()
    making.undone.set()
    preparation = Preparation("thing", making.open())
    await preparation
    with pytest.raises(EnvironmentFailed, match="'thing' could not be collected: OSError: busy"):
        await preparation.collect()


@pytest.mark.parametrize(("waits_from_s", "hidden"), [(None, 1.0), (0.0, 0.0), (45.0, 0.9)])
async def test_what_is_hidden_is_the_time_in_which_nobody_waited(
    waits_from_s: float | None, hidden: float
) -> None:
    clock, making = ManualClock(), Making()
    making.undone.set()
    preparation = Preparation("thing", making.open(), clock=clock.now)
    await settle()
    joined: list[asyncio.Future[str]] = []
    for now_s in range(50):
        if now_s == waits_from_s:
            joined.append(asyncio.ensure_future(take(preparation)))
            await settle()
        clock.advance(1.0)
    making.made.set()
    await settle()
    assert preparation.hidden_share == pytest.approx(hidden)
    await asyncio.gather(*joined)
    await preparation.collect()


@pytest.mark.parametrize(("waits_from_s", "hidden"), [(None, 1.0), (30, 0.6)])
async def test_who_waits_for_a_preparation_waits_for_what_that_needs(
    waits_from_s: float | None, hidden: float
) -> None:
    """The outer one joins the inner one at once, which by itself makes nobody wait."""
    clock, making = ManualClock(), Making()
    making.undone.set()
    inner = Preparation("inner", making.open(), clock=clock.now)

    @asynccontextmanager
    async def wrap() -> AsyncGenerator[str]:
        yield await inner

    outer = Preparation("outer", wrap(), clock=clock.now)
    joined: list[asyncio.Future[str]] = []
    for now_s in range(50):
        await settle()
        if now_s == waits_from_s:
            joined.append(asyncio.ensure_future(take(outer)))
            await settle()
        clock.advance(1.0)
    making.made.set()
    await settle()
    assert inner.hidden_share == outer.hidden_share == pytest.approx(hidden)
    await asyncio.gather(*joined)
    await outer.collect()
    await inner.collect()

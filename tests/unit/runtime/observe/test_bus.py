from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.unit.runtime.observe.recorded import Recorder, shop_run
from weft.runtime.observe import Event, EventLog


def filled(num_events: int, *, max_events: int | None = None) -> EventLog:
    recorder = Recorder()
    log = EventLog(max_events=max_events)
    for number in range(num_events):
        recorder.say(float(number), str(number))
        log.append(recorder.events[-1])
    return log


async def seqs(log: EventLog, after: int = 0) -> list[int]:
    return [event.seq async for event in log.read(after)]


async def test_a_reader_gets_everything_that_was_and_that_comes() -> None:
    events = shop_run()
    log = EventLog()
    for event in events[:5]:
        log.append(event)
    reader = asyncio.create_task(seqs(log))
    for event in events[5:]:
        log.append(event)
        await asyncio.sleep(0)
    log.close()
    assert await reader == list(range(1, len(events) + 1))


@pytest.mark.parametrize(("after", "expected"), [(0, [1, 2, 3]), (2, [3]), (3, []), (9, [])])
async def test_a_reader_resumes_after_the_last_event_it_saw(
    after: int, expected: list[int]
) -> None:
    log = filled(3)
    log.close()
    assert await seqs(log, after) == expected


async def test_many_readers_at_different_speeds_miss_nothing() -> None:
    async def read(pauses: int) -> list[int]:
        found: list[int] = []
        async for event in log.read():
            found.append(event.seq)
            for _ in range(pauses):
                await asyncio.sleep(0)
        return found

    log, recorder = EventLog(), Recorder()
    readers = [asyncio.create_task(read(pauses)) for pauses in (0, 1, 2, 7)]
    for number in range(200):
        recorder.say(0.0, "")
        log.append(recorder.events[-1])
        if number % 3 == 0:
            await asyncio.sleep(0)
    log.close()
    for reader in readers:
        assert await reader == list(range(1, 201))


async def test_closing_wakes_a_reader_that_waits() -> None:
    log = EventLog()
    reader = asyncio.create_task(seqs(log))
    await asyncio.sleep(0)
    assert not log.is_closed
    log.close()
    log.close()
    assert log.is_closed
    assert await asyncio.wait_for(reader, 1) == []


async def test_a_cancelled_reader_disturbs_nobody() -> None:
    log = filled(1)
    gone, stays = asyncio.create_task(seqs(log)), asyncio.create_task(seqs(log))
    await asyncio.sleep(0)
    gone.cancel()
    recorder = Recorder()
    recorder.events = list(log.events)
    recorder.say(1.0, "more")
    log.append(recorder.events[-1])
    log.close()
    assert await stays == [1, 2]


def test_a_bounded_log_keeps_between_once_and_twice_its_bound() -> None:
    for num_events in range(1, 60):
        log = filled(num_events, max_events=10)
        assert min(num_events, 10) <= len(log.events) <= 20
        assert log.events[-1].seq == num_events
        assert log.next_seq == num_events + 1


async def test_a_reader_sees_by_the_numbers_what_a_bounded_log_dropped() -> None:
    log = filled(45, max_events=10)
    log.close()
    found = await seqs(log, after=3)
    assert found == [event.seq for event in log.events]
    assert found[-1] == 45
    assert await seqs(log, after=44) == [45]


def test_numbers_without_gaps_are_enforced() -> None:
    log, recorder = EventLog(), Recorder()
    recorder.say(0.0, "first")
    recorder.say(0.0, "second")
    with pytest.raises(AssertionError, match="event 2 follows 0"):
        log.append(recorder.events[1])


async def test_an_observer_that_raises_is_reported_once_and_left_out() -> None:
    reports: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
    seen: list[Event] = []

    def bad(event: Event) -> None:
        raise KeyError(event.seq)

    log, events = EventLog([bad, seen.append]), shop_run()
    for event in events:
        log.append(event)
    assert seen == events
    assert [str(report["exception"]) for report in reports] == ["1"]

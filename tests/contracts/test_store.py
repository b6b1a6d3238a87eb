"""What every Store must do, whatever it writes to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.runtime.journal.records import run_record, step_record
from weft.errors import JournalError
from weft.runtime.journal import MemoryStore, SqliteStore, Store


@pytest.fixture(params=["memory", "exit", "async", "sync"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made: Store
    if request.param == "memory":
        made = MemoryStore()
    else:
        made = SqliteStore(tmp_path / "x.db", mode=request.param, synchronous="NORMAL")
    yield made
    await made.aclose()


async def test_what_was_put_is_read_back_equal(store: Store) -> None:
    await store.begin_run(run_record())
    await store.put_step(step_record())
    assert await store.run("run") == run_record()
    assert await store.steps("run") == [step_record()]


async def test_a_run_is_known_by_its_end(store: Store) -> None:
    await store.begin_run(run_record())
    await store.end_run("run", "failed", None, "ToolFailed: no", 9.5)
    ended = replace(run_record(), status="failed", error="ToolFailed: no", ended_at=9.5)
    assert await store.run("run") == ended


async def test_an_id_is_used_once(store: Store) -> None:
    await store.begin_run(run_record())
    with pytest.raises(JournalError, match="'run' is already recorded"):
        await store.begin_run(run_record(started_at=5.0))
    assert await store.runs() == [run_record()]


async def test_the_last_record_of_a_step_wins_until_it_is_finished(store: Store) -> None:
    await store.begin_run(run_record())
    await store.put_step(step_record(status="failed", output=None))
    await store.put_step(step_record(output='"first"'))
    await store.put_step(step_record(output='"second"'))
    await store.put_step(step_record(status="cancelled", output=None))
    assert await store.steps("run") == [step_record(output='"first"')]


async def test_runs_come_newest_first_and_steps_by_start(store: Store) -> None:
    for run_id, started_at in [("b", 2.0), ("a", 1.0), ("d", 3.0), ("c", 3.0)]:
        await store.begin_run(run_record(run_id, started_at))
    assert [record.run_id for record in await store.runs()] == ["c", "d", "b", "a"]
    assert [record.run_id for record in await store.runs(limit=2)] == ["c", "d"]
    for lineage, started_at in [("y", 2.0), ("z", 1.0), ("x", 2.0)]:
        await store.put_step(step_record(lineage, run_id="a", started_at=started_at))
    assert [record.lineage for record in await store.steps("a")] == ["z", "y", "x"]


async def test_what_is_not_there_is_none_or_empty(store: Store) -> None:
    assert await store.run("nobody") is None
    assert await store.steps("nobody") == []
    assert await store.runs() == []


async def test_ending_an_unknown_run_is_refused(store: Store) -> None:
    with pytest.raises(JournalError, match="'nobody' is not recorded"):
        await store.end_run("nobody", "finished", None, "", 1.0)


async def test_closing_twice_is_fine_and_using_it_afterwards_is_not(store: Store) -> None:
    await store.aclose()
    await store.aclose()
    with pytest.raises(JournalError, match="closed"):
        await store.begin_run(run_record())

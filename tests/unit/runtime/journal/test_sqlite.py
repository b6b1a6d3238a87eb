from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.runtime.journal.records import run_record, step_record
from weft.errors import JournalCorrupt, JournalError
from weft.runtime.journal import MemoryStore, SqliteStore, StepRecord, Store
from weft.runtime.journal.sqlite_file import open_journal, path_from
from weft.runtime.journal.writer import Writer


class Operation(NamedTuple):
    what: Literal["begin", "step", "end"]
    run_id: str
    lineage: str
    status: Literal["finished", "failed", "cancelled"]
    text: str
    at: int


IDS = st.sampled_from(["a", "b", "\ud800", "\\ud800", 'q"\n', "\x00", "é"])
OPERATIONS = st.lists(
    st.builds(
        Operation,
        st.sampled_from(["begin", "step", "end"]),
        IDS,
        IDS,
        st.sampled_from(["finished", "failed", "cancelled"]),
        st.text(max_size=5),
        st.integers(0, 5),
    ),
    max_size=12,
)


async def apply(store: Store, operation: Operation) -> str:
    """Do one operation; returns what it was refused for."""
    what, run_id, lineage, status, text, at = operation
    try:
        if what == "begin":
            await store.begin_run(run_record(run_id, float(at)))
        elif what == "step":
            step = step_record(lineage, run_id=run_id, status=status, output=text)
            await store.put_step(replace(step, started_at=float(at)))
        else:
            await store.end_run(run_id, status, text, text, 7.0)
    except JournalError as error:
        return str(error)
    return ""


async def contents(store: Store) -> list[object]:
    runs = await store.runs()
    return [*runs, *[await store.steps(run.run_id) for run in runs]]


@pytest.mark.slow
def test_any_operations_leave_what_they_leave_in_memory(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    @given(OPERATIONS)
    @settings(max_examples=60, deadline=None, derandomize=True, database=None)
    def check(operations: list[Operation]) -> None:
        asyncio.run(compare(operations, tmp_path_factory.mktemp("journal") / "x.db"))

    async def compare(operations: list[Operation], path: Path) -> None:
        naive, store = MemoryStore(), SqliteStore(path, synchronous="NORMAL")
        for operation in operations:
            assert await apply(store, operation) == await apply(naive, operation)
        assert await contents(store) == await contents(naive)
        await store.aclose()
        reopened = SqliteStore(path, synchronous="NORMAL")
        assert await contents(reopened) == await contents(naive)
        await reopened.aclose()

    check()


async def test_five_hundred_concurrent_writes_are_all_there(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "x.db")
    await store.begin_run(run_record())
    records = [step_record(f"answer/{i:03}", started_at=float(i)) for i in range(500)]
    await asyncio.gather(*(store.put_step(record) for record in records))
    assert await store.steps("run") == records
    await store.aclose()


def test_what_waits_together_is_committed_together(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    writer = Writer(open_journal(path, "NORMAL"), path)
    futures = [writer.submit(lambda connection: connection.total_changes) for _ in range(300)]
    for future in futures:
        future.result(timeout=10)
    writer.close().result(timeout=10)
    assert writer.num_commits < 100


async def test_a_caller_that_stops_waiting_does_not_undo_the_write(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "x.db", synchronous="NORMAL")
    await store.begin_run(run_record())
    task = asyncio.create_task(store.put_step(step_record()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await store.steps("run") == [step_record()]
    await store.aclose()


async def test_in_mode_exit_steps_reach_the_file_with_the_end_of_the_run(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "x.db", mode="exit", synchronous="NORMAL")
    other = SqliteStore(tmp_path / "x.db", synchronous="NORMAL")
    await store.begin_run(run_record())
    await store.put_step(step_record())
    assert await other.run("run") == run_record()
    assert await other.steps("run") == []
    await store.end_run("run", "finished", "1", "", 3.0)
    assert await other.steps("run") == [step_record()]
    await store.put_step(step_record("answer/late"))
    await store.aclose()
    assert len(await other.steps("run")) == 2
    await other.aclose()


@pytest.mark.parametrize("mode", ["exit", "async"])
async def test_a_write_nobody_waited_for_fails_at_the_next_call(
    tmp_path: Path, mode: Literal["exit", "async"]
) -> None:
    store = SqliteStore(tmp_path / "x.db", mode=mode, synchronous="NORMAL")
    await store.begin_run(run_record())
    await store.put_step(step_record(run_id="nobody"))
    with pytest.raises(JournalError, match="earlier Step was not recorded.*'nobody'"):
        await store.run("run")
        await store.aclose()
    await store.aclose()


WRITES = """
import asyncio, sys
from dataclasses import replace
from tests.unit.runtime.journal.records import run_record, step_record
from weft.runtime.journal import SqliteStore

async def main():
    store = SqliteStore(sys.argv[1])
    await store.begin_run(run_record())
    async def put(lane):
        for i in range(10**6):
            await store.put_step(step_record(f"{lane}/{i}"))
            print(f"{lane}/{i}", flush=True)
    await asyncio.gather(*(put(lane) for lane in range(4)))

asyncio.run(main())
"""


@pytest.mark.slow
async def test_every_acknowledged_record_survives_a_kill(tmp_path: Path) -> None:
    root = Path(__file__).parents[4]
    environment = {**os.environ, "PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}"}
    with subprocess.Popen(
        [sys.executable, "-c", WRITES, str(tmp_path / "x.db")],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        acknowledged = {process.stdout.readline().strip() for _ in range(60)}
        process.send_signal(signal.SIGKILL)
        acknowledged |= {line.strip() for line in process.stdout if line.endswith("\n")}
    store = SqliteStore(tmp_path / "x.db")
    found: dict[str, StepRecord] = {step.lineage: step for step in await store.steps("run")}
    await store.aclose()
    assert len(acknowledged) >= 60
    assert acknowledged <= found.keys()
    assert all(step == step_record(lineage) for lineage, step in found.items())


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE steps SET body = replace(body, 'forty', 'fifty')",
        "UPDATE steps SET lineage = 'answer/9'",
        "UPDATE steps SET checksum = ''",
        "UPDATE steps SET body = '{}'",
    ],
)
async def test_a_changed_record_is_noticed(tmp_path: Path, damage: str) -> None:
    store = SqliteStore(tmp_path / "x.db", synchronous="NORMAL")
    await store.begin_run(run_record())
    await store.put_step(step_record())
    connection = sqlite3.connect(tmp_path / "x.db")
    with connection:
        connection.execute(damage)
    connection.close()
    with pytest.raises(JournalCorrupt, match="checksum"):
        await store.steps("run")
    assert await store.run("run") == run_record()
    await store.aclose()


async def test_a_file_damaged_below_sql_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    store = SqliteStore(path, synchronous="NORMAL")
    await store.begin_run(run_record())
    for i in range(200):
        await store.put_step(step_record(str(i)))
    await store.aclose()
    raw = bytearray(path.read_bytes())
    raw[8192:] = b"\xaa" * (len(raw) - 8192)
    path.write_bytes(raw)
    with pytest.raises(JournalCorrupt, match="damaged"):
        damaged = SqliteStore(path, synchronous="NORMAL")
        try:
            await damaged.runs()
            await damaged.steps("run")
        finally:
            await damaged.aclose()


def write_text(path: Path) -> None:
    path.write_text("not a database, but long enough to be read as one by mistake" * 20)


def write_other_application(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE runs (speed REAL)")
    connection.close()


def write_newer_schema(path: Path) -> None:
    open_journal(path, "NORMAL").close()
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE weft_schema SET version = 99")
    connection.close()


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (write_text, "is not a SQLite database"),
        (write_other_application, "another application"),
        (write_newer_schema, "newer weft: schema 99"),
        (Path.mkdir, "cannot be opened"),
    ],
)
def test_a_file_that_is_no_journal_is_refused_by_name(
    tmp_path: Path, prepare: Callable[[Path], object], message: str
) -> None:
    path = tmp_path / "x.db"
    prepare(path)
    with pytest.raises(JournalError, match=message) as caught:
        SqliteStore(path)
    assert str(path) in str(caught.value)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="folder that exists"):
        SqliteStore(tmp_path / "nowhere" / "x.db")


def test_memory_is_refused_because_it_would_not_last() -> None:
    with pytest.raises(JournalError, match="use MemoryStore"):
        SqliteStore(":memory:")


@pytest.mark.parametrize(
    ("place", "path"),
    [("sqlite:///x.db", "x.db"), ("sqlite:////tmp/x.db", "/tmp/x.db"), ("a/x.db", "a/x.db")],
)
def test_a_url_names_a_file(place: str, path: str) -> None:
    assert path_from(place) == Path(path)


@pytest.mark.parametrize(
    "place", ["postgres://host/db", "sqlite://x.db", "sqlite://", "sqlite:///"]
)
def test_another_url_is_refused(place: str) -> None:
    with pytest.raises(JournalError, match="sqlite:///file.db"):
        path_from(place)

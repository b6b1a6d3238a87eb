"""The process that runs one query and dies: reads a task from stdin, writes an answer to stdout.

Run as a script by weft.tools.sqlite, with the standard library alone. SQLite cannot be stopped
while it compiles, and a short query can expand to gigabytes there, so the caps that matter are
the operating system's, set before the query is read.
"""

from __future__ import annotations

import json
import math
import resource
import sqlite3
import sys
import time
from collections.abc import Callable, Set
from contextlib import closing
from typing import TypedDict, final

__all__ = ["Answer", "Task", "answer"]

MAX_MEMORY_BYTES = 512 * 2**20
MAX_TEMPORARY_BYTES = 256 * 2**20
MAX_OPEN_FILES = 32
_TICK_OPS = 200
"""Virtual-machine steps of SQLite between two looks at the caps."""
_FUNCTIONS = frozenset(
    "abs avg ceil ceiling coalesce count cume_dist date datetime dense_rank first_value floor "
    "format glob group_concat ifnull iif instr julianday lag last_value lead length like lower "
    "ltrim max min mod nth_value ntile nullif percent_rank printf rank replace round row_number "
    "rtrim sign strftime substr substring sum time total trim typeof unicode upper".split()
)
_ALTERING = frozenset(
    "sqlite_drop_column sqlite_rename_column sqlite_rename_quotefix sqlite_rename_table "
    "sqlite_rename_test".split()
)
"""What ALTER TABLE is made of; SQLite lets no statement call them itself."""
_READING = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE})
_WRITING = _READING | {
    sqlite3.SQLITE_INSERT,
    sqlite3.SQLITE_UPDATE,
    sqlite3.SQLITE_DELETE,
    sqlite3.SQLITE_CREATE_TABLE,
    sqlite3.SQLITE_CREATE_INDEX,
    sqlite3.SQLITE_CREATE_VIEW,
    sqlite3.SQLITE_DROP_TABLE,
    sqlite3.SQLITE_DROP_INDEX,
    sqlite3.SQLITE_DROP_VIEW,
    sqlite3.SQLITE_ALTER_TABLE,
    sqlite3.SQLITE_REINDEX,
}
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 1_000_000,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 10_000,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 100,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 50,
    sqlite3.SQLITE_LIMIT_COLUMN: 200,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 20,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 200,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}


class Task(TypedDict):
    """One query and its caps."""

    uri: str
    """SQLite URI of the database."""
    query: str
    max_rows: int
    max_bytes: int
    max_ops: int
    timeout_s: float
    max_database_bytes: int
    """How large a statement may leave the file; 0: it may write nothing."""


@final
class Found(TypedDict):
    """The rows, and how many were changed."""

    columns: list[str]
    rows: list[list[str | int | float | None]]
    truncated: bool
    num_changed: int


@final
class Refused(TypedDict):
    """What SQLite or the authorizer objects to."""

    refused: str


@final
class Stopped(TypedDict):
    """The cap that was reached."""

    stopped: str


Answer = Found | Refused | Stopped


class _Watch:
    """Looks at the caps from inside SQLite."""

    def __init__(self, task: Task, clock: Callable[[], float]) -> None:
        self._task = task
        self._clock = clock
        self._ends_at = clock() + task["timeout_s"]
        self._num_ops = 0
        self.stopped_by = ""

    def tick(self) -> int:
        """Non-zero interrupts the query."""
        self._num_ops += _TICK_OPS
        if self._num_ops > self._task["max_ops"]:
            self.stopped_by = f"{self._task['max_ops']} steps"
        elif self._clock() > self._ends_at:
            self.stopped_by = f"{self._task['timeout_s']} s"
        return bool(self.stopped_by)


def answer(task: Task, clock: Callable[[], float] = time.monotonic) -> Answer:
    """Run the query. Never raises for what the query or the database holds."""
    watch = _Watch(task, clock)
    try:
        with closing(_connect(task)) as connection:
            run = _write if task["max_database_bytes"] else _read
            return run(connection, watch, task)
    except MemoryError:
        return {"refused": "it needs too much memory"}
    except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
        return {"stopped": watch.stopped_by} if watch.stopped_by else {"refused": str(error)}


def _connect(task: Task) -> sqlite3.Connection:
    return sqlite3.connect(task["uri"], uri=True, isolation_level=None, timeout=task["timeout_s"])


def _read(connection: sqlite3.Connection, watch: _Watch, task: Task) -> Found:
    connection.execute("PRAGMA query_only = ON")
    _lock_down(connection, watch, _READING, _FUNCTIONS)
    with closing(connection.execute(task["query"])) as cursor:
        if cursor.description is None:
            raise ValueError("it gives no rows")
        return _rows(cursor, task)


def _write(connection: sqlite3.Connection, watch: _Watch, task: Task) -> Found:
    """One statement, and all that it does or nothing: closed without COMMIT it is undone."""
    _bound_growth(connection, task["max_database_bytes"])
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("BEGIN IMMEDIATE")
    _lock_down(connection, watch, _WRITING, _FUNCTIONS | _ALTERING)
    before = connection.total_changes
    with closing(connection.execute(task["query"])) as cursor:
        found = _rows(cursor, task)
    found["num_changed"] = connection.total_changes - before
    connection.set_authorizer(None)
    connection.execute("COMMIT")
    return found


def _bound_growth(connection: sqlite3.Connection, max_bytes: int) -> None:
    """SQLite never takes less than there is."""
    ((page_bytes,),) = connection.execute("PRAGMA page_size")
    connection.execute(f"PRAGMA max_page_count = {max(1, max_bytes // page_bytes)}")


def _lock_down(
    connection: sqlite3.Connection, watch: _Watch, actions: Set[int], functions: Set[str]
) -> None:
    connection.execute("PRAGMA trusted_schema = OFF")
    for limit, value in _LIMITS.items():
        connection.setlimit(limit, value)
    connection.text_factory = _decode
    connection.set_progress_handler(watch.tick, _TICK_OPS)

    def authorize(
        action: int,
        first: str | None,
        second: str | None,
        database: str | None,
        trigger: str | None,
    ) -> int:
        is_harmless = action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in functions
        is_allowed = action in actions or is_harmless
        return sqlite3.SQLITE_OK if is_allowed else sqlite3.SQLITE_DENY

    connection.set_authorizer(authorize)


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _rows(cursor: sqlite3.Cursor, task: Task) -> Found:
    columns = [str(column[0]) for column in cursor.description or ()]
    rows: list[list[str | int | float | None]] = []
    num_bytes = 0
    truncated = False
    for raw in cursor:
        row = [_cell(value) for value in raw]
        num_bytes += sum(len(str(cell).encode()) for cell in row)
        truncated = len(rows) == task["max_rows"] or num_bytes > task["max_bytes"]
        if truncated:
            break
        rows.append(row)
    return {"columns": columns, "rows": rows, "truncated": truncated, "num_changed": 0}


def _cell(value: object) -> str | int | float | None:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    assert value is None or isinstance(value, (str, int, float))
    return value


def _limit_resources(timeout_s: float, max_database_bytes: int) -> None:
    cpu_s = math.ceil(timeout_s) + 1
    limits = {
        resource.RLIMIT_AS: MAX_MEMORY_BYTES,
        resource.RLIMIT_FSIZE: max(MAX_TEMPORARY_BYTES, 2 * max_database_bytes),
        resource.RLIMIT_NOFILE: MAX_OPEN_FILES,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: cpu_s,
    }
    for name, limit in limits.items():
        _, hard = resource.getrlimit(name)
        lowered = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(name, (lowered, lowered))


def main() -> None:
    _limit_resources(float(sys.argv[1]), int(sys.argv[2]))
    task: Task = json.loads(sys.stdin.buffer.read())
    sys.stdout.write(json.dumps(answer(task)))


if __name__ == "__main__":
    main()

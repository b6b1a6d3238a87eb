"""One thread that owns a database connection and commits what waits for it together."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from weft.errors import JournalError
from weft.runtime.journal.sqlite_file import storage_errors

__all__ = ["Writer"]

T = TypeVar("T")


class _Job:
    """An operation and who waits for it."""

    __slots__ = ("error", "future", "operation", "value")

    def __init__(self, operation: Callable[[sqlite3.Connection], Any]) -> None:
        self.operation = operation
        self.future: Future[Any] = Future()
        self.value: object = None
        self.error: Exception | None = None
        # A caller who stops waiting does not undo the write.
        self.future.set_running_or_notify_cancel()

    def settle(self, error: Exception | None) -> None:
        failure = self.error or error
        if failure is not None:
            self.future.set_exception(failure)
        else:
            self.future.set_result(self.value)


class Writer:
    """Runs operations in the order they were submitted; all that wait share one transaction.

    An operation must be one statement at most that writes: when it raises JournalError or
    violates a constraint, it alone is undone. When the storage fails, all of its transaction
    fails. A future is done only when its transaction is committed.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        """The connection belongs to the writer from now on."""
        self._connection = connection
        self._path = path
        self._waiting: deque[_Job] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="weft-journal")
        self._closing: Future[None] | None = None
        self.num_commits = 0
        """Transactions so far, failed ones included."""

    def submit(self, operation: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Never blocks. Raises JournalError after ``close``."""
        if self._closing is not None:
            raise JournalError("The store is closed.", remedy="Open a new one.")
        job = _Job(operation)
        self._waiting.append(job)
        self._thread.submit(self._drain)
        return job.future

    def close(self) -> Future[None]:
        """Let what waits finish, then close the connection. Idempotent; never blocks."""
        if self._closing is None:
            self._closing = self._thread.submit(self._connection.close)
            self._thread.shutdown(wait=False)
        return self._closing

    def _drain(self) -> None:
        jobs: list[_Job] = []
        while self._waiting:
            jobs.append(self._waiting.popleft())
        if not jobs:
            return
        self.num_commits += 1
        failure: Exception | None = None
        try:
            with storage_errors(self._path):
                self._commit(jobs)
        except Exception as error:
            failure = error
        for job in jobs:
            job.settle(failure)

    def _commit(self, jobs: list[_Job]) -> None:
        # As a context manager a connection commits, or rolls back when its block raises.
        with self._connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            for job in jobs:
                try:
                    job.value = job.operation(connection)
                except JournalError as error:
                    job.error = error

"""Runs and Steps in one SQLite file."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

from weft.errors import JournalError
from weft.runtime.journal import rows
from weft.runtime.journal.record import RunRecord, RunStatus, StepRecord
from weft.runtime.journal.sqlite_file import Synchronous, open_journal, path_from
from weft.runtime.journal.writer import Writer

__all__ = ["JournalMode", "SqliteStore"]

T = TypeVar("T")

JournalMode = Literal["exit", "async", "sync"]
"""When a Step is on disk: at the end of its Run; soon after ``put_step`` returned; before."""


class SqliteStore:
    """A Store in a file, by default surviving a power cut (write-ahead log, FULL).

    One thread does all the work, so the loop never blocks, and records that wait together are
    committed together. The beginning and the end of a Run are on disk when their call returns,
    in every mode; ``mode`` is about Steps. Whatever was put is seen by a read that follows.
    Several processes may use one file. Two stores or loops may not share one SqliteStore.
    """

    def __init__(
        self, place: str | Path, *, mode: JournalMode = "sync", synchronous: Synchronous = "FULL"
    ) -> None:
        """``place`` is a path or ``sqlite:///file.db``; the file is created when it is missing.

        Blocks while the file is opened. Raises: JournalError when it is no journal, cannot be
        written, or was written by a newer weft; JournalCorrupt when it is damaged.
        """
        path = path_from(place)
        self._mode = mode
        self._writer = Writer(open_journal(path, synchronous), path)
        self._held: dict[str, list[StepRecord]] = {}
        """Steps by Run that wait for its end, in mode ``exit``."""
        self._failure: BaseException | None = None
        """Why a Step that nobody waited for could not be written."""

    async def begin_run(self, record: RunRecord) -> None:
        await self._do(partial(rows.insert_run, record=record))

    async def put_step(self, record: StepRecord) -> None:
        """The last call wins until the Step is finished: a finished Step never changes.

        In the modes that do not wait, a failure is raised by the next call instead.
        """
        if self._mode == "exit":
            self._raise_failure()
            self._held.setdefault(record.run_id, []).append(record)
            return
        written = self._submit(partial(rows.upsert_step, record=record))
        if self._mode == "sync":
            await asyncio.wrap_future(written)
        else:
            written.add_done_callback(self._note_failure)

    async def end_run(
        self, run_id: str, status: RunStatus, output_json: str | None, error: str, ended_at: float
    ) -> None:
        def end(connection: sqlite3.Connection) -> None:
            record = rows.select_run(connection, run_id)
            if record is None:
                raise JournalError(f"Run {run_id!r} is not recorded.", remedy="Begin it first.")
            ended = replace(
                record, status=status, output_json=output_json, error=error, ended_at=ended_at
            )
            rows.update_run(connection, ended)

        self._write_held(run_id)
        await self._do(end)
        self._raise_failure()

    async def runs(self, limit: int = 100) -> Sequence[RunRecord]:
        """The newest first. Raises JournalCorrupt when a record is not what was written."""
        return await self._do(partial(rows.select_runs, limit=limit))

    async def run(self, run_id: str) -> RunRecord | None:
        """Raises JournalCorrupt when the record is not what was written."""
        return await self._do(partial(rows.select_run, run_id=run_id))

    async def steps(self, run_id: str) -> Sequence[StepRecord]:
        """Raises JournalCorrupt when a record is not what was written."""
        self._write_held(run_id)
        return await self._do(partial(rows.select_steps, run_id=run_id))

    async def aclose(self) -> None:
        """Write what is held, close the file. Raises JournalError when a Step that nobody waited
        for could not be written; the file is closed all the same."""
        for run_id in list(self._held):
            self._write_held(run_id)
        await asyncio.shield(asyncio.wrap_future(self._writer.close()))
        self._raise_failure()

    async def _do(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.wrap_future(self._submit(operation))

    def _submit(self, operation: Callable[[sqlite3.Connection], T]) -> Future[T]:
        self._raise_failure()
        return self._writer.submit(operation)

    def _write_held(self, run_id: str) -> None:
        """Queue the held Steps of a Run; nobody waits for each of them."""
        for record in self._held.pop(run_id, ()):
            written = self._writer.submit(partial(rows.upsert_step, record=record))
            written.add_done_callback(self._note_failure)

    def _note_failure(self, written: Future[None]) -> None:
        self._failure = self._failure or written.exception()

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise JournalError(f"An earlier Step was not recorded: {failure}") from failure

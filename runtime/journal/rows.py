"""Records as rows: one statement each, every row with a checksum that is verified when read."""

from __future__ import annotations

import json
import sqlite3

from weft.errors import JournalCorrupt, JournalError
from weft.runtime.journal.body import encode_record, run_from, step_from
from weft.runtime.journal.codec import checksum
from weft.runtime.journal.record import RunRecord, StepRecord

__all__ = [
    "insert_run",
    "select_run",
    "select_runs",
    "select_steps",
    "update_run",
    "upsert_step",
]


def insert_run(connection: sqlite3.Connection, record: RunRecord) -> None:
    """Raises JournalError when the Run is known."""
    key, body = _key(record.run_id), encode_record(record)
    row = (key, record.started_at, body, checksum(key, body))
    try:
        connection.execute("INSERT INTO runs VALUES (?, ?, ?, ?)", row)
    except sqlite3.IntegrityError as error:
        raise JournalError(
            f"Run {record.run_id!r} is already recorded.", remedy="Use a new id."
        ) from error


def update_run(connection: sqlite3.Connection, record: RunRecord) -> None:
    key, body = _key(record.run_id), encode_record(record)
    statement = "UPDATE runs SET body = ?, checksum = ? WHERE run_id = ?"
    connection.execute(statement, (body, checksum(key, body), key))


def upsert_step(connection: sqlite3.Connection, record: StepRecord) -> None:
    """Write the Step unless it is finished already. Raises JournalError for an unknown Run."""
    run, lineage, body = _key(record.run_id), _key(record.lineage), encode_record(record)
    row = (run, lineage, record.started_at, record.status, body, checksum(run, lineage, body))
    try:
        connection.execute(
            "INSERT INTO steps VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
            " started_at = excluded.started_at, status = excluded.status,"
            " body = excluded.body, checksum = excluded.checksum"
            " WHERE steps.status <> 'finished'",
            row,
        )
    except sqlite3.IntegrityError as error:
        raise JournalError(
            f"Run {record.run_id!r} is not recorded.", remedy="Begin it first."
        ) from error


def select_run(connection: sqlite3.Connection, run_id: str) -> RunRecord | None:
    statement = "SELECT run_id, body, checksum FROM runs WHERE run_id = ?"
    row = connection.execute(statement, (_key(run_id),)).fetchone()
    return None if row is None else _run(*row)


def select_runs(connection: sqlite3.Connection, limit: int) -> list[RunRecord]:
    """The newest first."""
    rows = connection.execute(
        "SELECT run_id, body, checksum FROM runs ORDER BY started_at DESC, rowid DESC LIMIT ?",
        (max(limit, 0),),
    )
    return [_run(*row) for row in rows]


def select_steps(connection: sqlite3.Connection, run_id: str) -> list[StepRecord]:
    """By start."""
    rows = connection.execute(
        "SELECT run_id, lineage, body, checksum FROM steps WHERE run_id = ?"
        " ORDER BY started_at, rowid",
        (_key(run_id),),
    )
    return [_step(*row) for row in rows]


def _key(text: str) -> str:
    """An id in ASCII, so that one with a lone surrogate can be stored too."""
    return json.dumps(text)[1:-1]


def _run(key: str, body: str, found: str) -> RunRecord:
    _check(f"Run {key}", checksum(key, body), found)
    return run_from(body)


def _step(run: str, lineage: str, body: str, found: str) -> StepRecord:
    _check(f"Step {lineage} of Run {run}", checksum(run, lineage, body), found)
    return step_from(body)


def _check(what: str, wanted: str, found: str) -> None:
    if wanted != found:
        raise JournalCorrupt(
            f"{what} is damaged: its checksum is {found!r}, not {wanted!r}.",
            remedy="Restore a copy of the journal.",
        )

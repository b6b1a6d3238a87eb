"""Opening a journal file: what is accepted as one, and what a new one is made of."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from weft.errors import JournalCorrupt, JournalError

__all__ = ["Synchronous", "open_journal", "path_from", "storage_errors"]

Synchronous = Literal["FULL", "NORMAL"]
"""What a commit survives: FULL, a power cut; NORMAL, a crash of the process."""

_SCHEMA_VERSION = 1
_BUSY_TIMEOUT_S = 30.0
"""How long to wait for another process that writes the same file."""

_TABLES = """
CREATE TABLE weft_schema (version INTEGER NOT NULL) STRICT;
CREATE TABLE runs (
    run_id TEXT NOT NULL PRIMARY KEY,
    started_at REAL NOT NULL,
    body TEXT NOT NULL,
    checksum TEXT NOT NULL
) STRICT;
CREATE INDEX runs_by_start ON runs (started_at);
CREATE TABLE steps (
    run_id TEXT NOT NULL REFERENCES runs (run_id),
    lineage TEXT NOT NULL,
    started_at REAL NOT NULL,
    status TEXT NOT NULL,
    body TEXT NOT NULL,
    checksum TEXT NOT NULL,
    PRIMARY KEY (run_id, lineage)
) STRICT;
"""


def path_from(place: str | Path) -> Path:
    """The file that a path or a URL names: ``sqlite:///x.db`` is relative, four slashes are
    absolute. Raises JournalError for another kind of URL."""
    text = str(place)
    if "://" not in text:
        return Path(text)
    scheme, _, rest = text.partition("://")
    if scheme != "sqlite" or len(rest) < 2 or not rest.startswith("/"):
        raise JournalError(
            f"The journal's place is {text!r}.", remedy="Give a path or sqlite:///file.db."
        )
    return Path(rest[1:])


def open_journal(path: Path, synchronous: Synchronous) -> sqlite3.Connection:
    """A connection in autocommit mode to a journal that exists now; any one thread may use it.

    Raises: JournalError when the file is no journal, cannot be written, or is of a newer weft.
    """
    try:
        connection = sqlite3.connect(
            path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
    except sqlite3.Error as error:
        raise JournalError(
            f"The journal {str(path)!r} cannot be opened: {error}.",
            remedy="Give a file in a folder that exists and can be written.",
        ) from error
    try:
        _prepare(connection, path, synchronous)
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def storage_errors(path: Path) -> Generator[None]:
    """Turn what SQLite raises into what weft raises."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise JournalError(
            f"The journal {str(path)!r} cannot be read or written: {error}.",
            remedy="See that the file is writable, the disk has room and nobody holds a lock.",
        ) from error
    except sqlite3.DatabaseError as error:
        raise JournalCorrupt(
            f"The journal {str(path)!r} is damaged: {error}.", remedy="Restore a copy."
        ) from error


def _prepare(connection: sqlite3.Connection, path: Path, synchronous: Synchronous) -> None:
    with storage_errors(path):
        _check_is_database(connection, path)
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise JournalError(
                f"The journal {str(path)!r} cannot keep a write-ahead log (mode {mode!r}).",
                remedy="Put it on a local file system, or use MemoryStore.",
            )
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("PRAGMA foreign_keys = ON")
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            _check_schema(connection, path)


def _check_is_database(connection: sqlite3.Connection, path: Path) -> None:
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema")
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        raise JournalError(
            f"{str(path)!r} is not a SQLite database.", remedy="Give another path."
        ) from error


def _check_schema(connection: sqlite3.Connection, path: Path) -> None:
    """Create the tables in an empty file; refuse another application's or a newer one."""
    rows = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
    names = {name for (name,) in rows}
    if not names:
        for statement in _TABLES.split(";\n"):
            connection.execute(statement)
        connection.execute("INSERT INTO weft_schema VALUES (?)", (_SCHEMA_VERSION,))
        return
    if "weft_schema" not in names:
        raise JournalError(
            f"{str(path)!r} is the database of another application.", remedy="Give another path."
        )
    (version,) = connection.execute("SELECT version FROM weft_schema").fetchone()
    if version > _SCHEMA_VERSION:
        raise JournalError(
            f"{str(path)!r} was written by a newer weft: schema {version!r}, known is"
            f" {_SCHEMA_VERSION}.",
            remedy="Upgrade weft.",
        )

"""Questions to a SQLite database that cannot hang it, nor change it unless they may."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import quote

from weft.errors import InvalidRequest, ToolFailed, ToolTimeout
from weft.tools.sqlite_worker import Answer, Task
from weft.tools.tool import Tool, as_tool

__all__ = ["Cell", "QueryLimits", "Rows", "query_database", "sqlite_tool"]

Cell = str | int | float | None

START_S = 10.0
"""How long the process may take to start, beyond the query's own time."""
_WORKER = Path(__file__).with_name("sqlite_worker.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The answer to a query."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    """A blob is given as its hexadecimal digits, an infinity as text."""
    truncated: bool = False
    """More rows were there than the caps let through."""
    num_changed: int = 0
    """Rows that the statement inserted, updated or deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryLimits:
    """What one query may use. Raises InvalidRequest at construction."""

    max_rows: int = 200
    max_bytes: int = 65_536
    """Of all cells together, as UTF-8."""
    max_ops: int = 5_000_000
    """Steps of SQLite's virtual machine."""
    timeout_s: float = 2.0
    max_database_bytes: int = 64 * 2**20
    """How large a statement that writes may make the file."""

    def __post_init__(self) -> None:
        for name in ("max_rows", "max_bytes", "max_ops", "timeout_s", "max_database_bytes"):
            value: float = getattr(self, name)
            if not 0 < value < math.inf:
                raise InvalidRequest(f"{name} is {value!r}.", remedy="It must be positive.")


def sqlite_tool(
    path: str | Path,
    *,
    name: str = "sql",
    description: str | None = None,
    limits: QueryLimits | None = None,
    max_concurrency: int = 4,
    writes: bool = False,
) -> Tool[[str], Rows]:
    """A tool with the one argument ``query`` over the database file ``path``.

    It reads, unless it ``writes``, one statement at a time; see ``query_database``.

    Raises InvalidRequest when there is no such file.
    """
    _database_uri(path, writes=writes)
    chosen = limits or QueryLimits()
    what = "SQL statement" if writes else "SQL SELECT"

    async def run_query(query: str) -> Rows:
        return await query_database(path, query, limits=chosen, tool=name, writes=writes)

    return as_tool(
        run_query,
        name=name,
        description=description or f"Run one {what} on the database.",
        effect="write" if writes else "read",
        timeout_s=chosen.timeout_s + 2 * START_S,
        max_concurrency=1 if writes else max_concurrency,
    )


async def query_database(
    path: str | Path,
    query: str,
    *,
    limits: QueryLimits | None = None,
    tool: str = "sql",
    writes: bool = False,
) -> Rows:
    """Run one SELECT on a database file that nobody is writing.

    It runs in a process of its own with little memory and time, killed when this is cancelled.
    The file is opened read-only and immutable; SQLite's authorizer lets through SELECT, READ and
    a list of harmless functions and refuses all else while it compiles the statement: ATTACH,
    PRAGMA, any write, extensions.

    With ``writes`` it may also be one statement that changes rows, tables, indexes or views, and
    others may be writing. It is a transaction: refused, stopped, cancelled or killed it changes
    nothing. Foreign keys are enforced.

    Raises: ToolFailed for what SQLite or the authorizer refuses; ToolTimeout when the query needs
    more steps or seconds than allowed; InvalidRequest when there is no such file.
    """
    chosen = limits or QueryLimits()
    task = Task(
        uri=_database_uri(path, writes=writes),
        query=query,
        max_rows=chosen.max_rows,
        max_bytes=chosen.max_bytes,
        max_ops=chosen.max_ops,
        timeout_s=chosen.timeout_s,
        max_database_bytes=chosen.max_database_bytes if writes else 0,
    )
    found = await _ask(task)
    if "stopped" in found:
        what = f"The query was stopped after {found['stopped']}."
        raise ToolTimeout(what, tool=tool, remedy="Ask for less: filter, or join less.")
    if "refused" in found:
        what = f"SQLite refuses the query: {found['refused']}."
        kind = "statement" if writes else "SELECT"
        raise ToolFailed(what, tool=tool, remedy=f"Write one {kind} over the tables there are.")
    return Rows(
        columns=tuple(found["columns"]),
        rows=tuple(tuple(row) for row in found["rows"]),
        truncated=found["truncated"],
        num_changed=found["num_changed"],
    )


async def _ask(task: Task) -> Answer:
    """Start the worker, hand it the task, and be sure it is gone afterwards."""
    pipe = asyncio.subprocess.PIPE
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", str(_WORKER)),
        *(str(task["timeout_s"]), str(task["max_database_bytes"])),
        stdin=pipe,
        stdout=pipe,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(task["timeout_s"] + START_S):
            output, _ = await worker.communicate(json.dumps(task).encode())
    except TimeoutError:
        return {"stopped": f"{task['timeout_s']} s"}
    finally:
        if worker.returncode is None:
            # Popen's own kill would reap the process where asyncio's watcher waits for it.
            with suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGKILL)
        await worker.wait()
    return _read_answer(output, worker.returncode, task["timeout_s"])


def _read_answer(output: bytes, returncode: int | None, timeout_s: float) -> Answer:
    """What the worker wrote, or what its end without a word means."""
    if returncode == 0:
        return cast("Answer", json.loads(output))
    if returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return {"stopped": f"{timeout_s} s of processor time"}
    return {"refused": f"it brought SQLite down (exit status {returncode})"}


def _database_uri(path: str | Path, *, writes: bool) -> str:
    resolved = Path(path).resolve()
    if not resolved.is_file():
        raise InvalidRequest(
            f"There is no database file {str(path)!r}.", remedy="Create it first; check the path."
        )
    return f"file:{quote(str(resolved))}?{'mode=rw' if writes else 'mode=ro&immutable=1'}"

"""Read-only SQL: hostile queries end soon, change nothing, and say why."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest

from weft.errors import InvalidRequest, ToolFailed, ToolTimeout
from weft.tools.sandbox.usage import children
from weft.tools.sqlite import QueryLimits, Rows, query_database, sqlite_tool
from weft.tools.sqlite_worker import Task, answer

NUM_ITEMS = 300


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shop") / "shop #1?.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, price REAL)")
        rows = [(number, f"item {number}", number / 4) for number in range(NUM_ITEMS)]
        connection.executemany("INSERT INTO items VALUES (?, ?, ?)", rows)
        connection.commit()
    return path


@pytest.fixture(autouse=True)
def unchanged(shop: Path) -> Iterator[None]:
    """No query changes the file or leaves another beside it."""
    before = hashlib.sha256(shop.read_bytes()).digest(), os.listdir(shop.parent)
    yield
    assert (hashlib.sha256(shop.read_bytes()).digest(), os.listdir(shop.parent)) == before


def ask(path: Path, query: str, **caps: float) -> dict[str, Any]:
    """Run the worker's part in this process, where it is fast."""
    limits = {"max_rows": 200, "max_bytes": 65_536, "max_ops": 100_000, "timeout_s": 60.0} | caps
    limits["max_database_bytes"] = 0
    uri = f"{path.as_uri()}?mode=ro&immutable=1"
    return dict(answer(cast("Task", {"uri": uri, "query": query, **limits})))


async def test_a_query_through_the_tool_gives_typed_rows(shop: Path) -> None:
    tool = sqlite_tool(shop)
    rows = await tool.invoke({"query": "SELECT id, name, price, NULL AS n FROM items LIMIT 2"})
    assert rows == Rows(
        columns=("id", "name", "price", "n"),
        rows=((0, "item 0", 0.0, None), (1, "item 1", 0.25, None)),
    )
    assert tool.load(tool.dump(rows)) == rows
    assert tool.name == "sql" and tool.effect == "read"


def test_every_kind_of_cell_is_data(shop: Path) -> None:
    found = ask(shop, "SELECT x'00ff', 9e999, -9e999, 2.5, CAST(x'ff41' AS TEXT)")
    assert found["rows"] == [["00ff", "inf", "-inf", 2.5, "\ufffdA"]]


def test_ordinary_analysis_works(shop: Path) -> None:
    query = """
        WITH priced AS (SELECT name, price, rank() OVER (ORDER BY price DESC) AS place FROM items)
        SELECT upper(trim(replace(name, 'item', ' x '))), round(price, 1),
               strftime('%Y', '2026-01-01')
        FROM priced WHERE place <= 1 AND name LIKE 'item%' GROUP BY name HAVING count(*) = 1
    """
    assert ask(shop, query)["rows"] == [["X  299", 74.8, "2026"]]
    assert ask(shop, "SELECT count(*) FROM sqlite_master")["rows"] == [[1]]


WRITES = [
    "INSERT INTO items VALUES (999, 'x', 1)",
    "UPDATE items SET price = 0",
    "DELETE FROM items",
    "DROP TABLE items",
    "CREATE TABLE t (x)",
    "CREATE TEMP TABLE t (x)",
    "CREATE TEMP VIEW v AS SELECT 1",
    "CREATE VIRTUAL TABLE v USING fts5(x)",
    "ALTER TABLE items ADD COLUMN x",
    "REINDEX",
    "ANALYZE",
    "VACUUM INTO '/tmp/copy.db'",
    "BEGIN",
    "SAVEPOINT s",
    "ATTACH '/tmp/other.db' AS other",
    "DETACH main",
    "PRAGMA query_only = OFF",
    "PRAGMA table_info(items)",
    "SELECT * FROM pragma_database_list",
    "SELECT load_extension('/tmp/x.so')",
    "SELECT readfile('/etc/passwd')",
    "SELECT writefile('/tmp/x', 'y')",
    "SELECT edit('x')",
    "SELECT randomblob(10)",
    "SELECT zeroblob(1000000000)",
    "SELECT fts3_tokenizer('simple')",
    "SELECT sqlite_version()",
]
BROKEN = [
    "",
    "-- nothing",
    ";",
    "SELEC 1",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE items",
    "SELECT * FROM nowhere",
    "SELECT 1\0",
    "SELECT '\ud800'",
    "SELECT ?",
    "SELECT " + ", ".join(["1"] * 300),
    "SELECT " + "+".join(["1"] * 500),
    "SELECT " + "(" * 5000 + "1" + ")" * 4000,
    "SELECT '" + "x" * 20_000 + "'",
    "SELECT 1 UNION " * 100 + "SELECT 1",
    "SELECT 'a' LIKE '" + "%a" * 200 + "'",
]


@pytest.mark.parametrize("query", WRITES + BROKEN, ids=range(len(WRITES + BROKEN)))
def test_whatever_is_not_one_harmless_select_is_refused(shop: Path, query: str) -> None:
    assert list(ask(shop, query)) == ["refused"]


ENDLESS = [
    "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT sum(n) FROM c",
    "SELECT count(*) FROM items a, items b, items c, items d",
    "SELECT * FROM items a, items b, items c ORDER BY a.name || b.name || c.name",
]


@pytest.mark.parametrize("query", ENDLESS)
def test_endless_work_is_stopped_by_steps(shop: Path, query: str) -> None:
    assert ask(shop, query) == {"stopped": "100000 steps"}


def test_endless_work_is_stopped_by_time(shop: Path) -> None:
    times = iter(range(10_000))
    limits = {"max_rows": 1, "max_bytes": 1, "max_ops": 10**9, "timeout_s": 20.0}
    limits["max_database_bytes"] = 0
    task = {"uri": shop.as_uri(), "query": ENDLESS[0], **limits}
    assert answer(cast("Task", task), clock=lambda: next(times)) == {"stopped": "20.0 s"}


def test_too_many_rows_or_bytes_are_cut_and_flagged(shop: Path) -> None:
    everything = "SELECT name FROM items"
    assert ask(shop, everything, max_rows=NUM_ITEMS)["truncated"] is False
    cut = ask(shop, everything, max_rows=NUM_ITEMS - 1)
    assert cut["truncated"] and len(cut["rows"]) == NUM_ITEMS - 1
    cut = ask(shop, everything, max_bytes=30)
    assert cut["truncated"] and len(cut["rows"]) == 5
    cut = ask(shop, "SELECT group_concat(name) FROM items", max_bytes=100)
    assert cut["truncated"] and cut["rows"] == []


async def test_a_refusal_and_a_stop_are_typed_errors(shop: Path) -> None:
    with pytest.raises(ToolFailed, match="not authorized") as failed:
        await query_database(shop, "DELETE FROM items", tool="shop")
    assert failed.value.tool == "shop"
    with pytest.raises(ToolTimeout, match="1000 steps"):
        await query_database(shop, ENDLESS[0], limits=QueryLimits(max_ops=1000))


@pytest.mark.slow
async def test_a_query_that_explodes_while_it_compiles_is_killed(shop: Path) -> None:
    doubled = [f"a{at} AS (SELECT 1 FROM a{at - 1} p, a{at - 1} q)" for at in range(1, 40)]
    query = f"WITH a0 AS (SELECT 1), {', '.join(doubled)} SELECT count(*) FROM a39"
    with pytest.raises((ToolTimeout, ToolFailed)):
        await query_database(shop, query, limits=QueryLimits(timeout_s=0.1))


async def test_cancelling_kills_the_process(shop: Path) -> None:
    limits = QueryLimits(max_ops=10**15, timeout_s=50)
    tool = sqlite_tool(shop, limits=limits)
    others = set(children(os.getpid()))
    call = asyncio.create_task(tool.invoke({"query": ENDLESS[0]}))
    while not (mine := set(children(os.getpid())) - others):
        await asyncio.sleep(0.001)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert not mine & set(children(os.getpid()))
    assert tool.num_running == 0


async def test_what_is_no_database_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="no database file"):
        sqlite_tool(tmp_path / "missing.db")
    with pytest.raises(InvalidRequest, match="no database file"):
        sqlite_tool(tmp_path)
    (tmp_path / "text.db").write_text("not a database" * 100)
    with pytest.raises(ToolFailed, match="not a database"):
        await query_database(tmp_path / "text.db", "SELECT 1 FROM sqlite_master")


@pytest.mark.parametrize("name", ["max_rows", "max_bytes", "max_ops", "timeout_s"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_limits_must_be_positive(name: str, value: float) -> None:
    with pytest.raises(InvalidRequest, match=name):
        QueryLimits(**{name: value})  # type: ignore[arg-type] # pyright: ignore

"""SQL that may write: each statement wholly or not at all, and nothing but the one database."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest

from weft.errors import ToolFailed, ToolTimeout
from weft.tools.builtin import ToolboxOptions, open_toolbox
from weft.tools.sqlite import QueryLimits, Rows, query_database, sqlite_tool
from weft.tools.sqlite_worker import Task, answer

ENDLESS = (
    "INSERT INTO orders (item, num) WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c)"
    " SELECT 1, n FROM c"
)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("""
            CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT UNIQUE, price REAL);
            INSERT INTO items VALUES (1, 'cup', 2.5), (2, 'pot', 9.0);
            CREATE TABLE orders (item INTEGER REFERENCES items (id), num INTEGER);
            INSERT INTO orders VALUES (1, 6);
        """)
    return path


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def run(path: Path, query: str, **caps: float) -> dict[str, Any]:
    """Run the worker's part in this process, where it is fast."""
    limits = {"max_rows": 200, "max_bytes": 65_536, "max_ops": 100_000, "timeout_s": 60.0}
    limits |= {"max_database_bytes": 1 << 20} | caps
    return dict(answer(cast("Task", {"uri": f"{path.as_uri()}?mode=rw", "query": query, **limits})))


@pytest.mark.parametrize(
    ("query", "num_changed", "check", "rows"),
    [
        ("INSERT INTO items (name) VALUES ('lid'), ('jug')", 2, "count(*) FROM items", [[4]]),
        ("UPDATE items SET price = price * 2 WHERE id = 2", 1, "max(price) FROM items", [[18.0]]),
        ("DELETE FROM orders", 1, "count(*) FROM orders", [[0]]),
        ("CREATE TABLE tags (tag TEXT)", 0, "count(*) FROM tags", [[0]]),
        ("CREATE INDEX by_price ON items (price)", 0, "count(*) FROM items", [[2]]),
        ("CREATE VIEW dear AS SELECT * FROM items WHERE price > 5", 0, "id FROM dear", [[2]]),
        (
            "ALTER TABLE items ADD COLUMN stock INTEGER DEFAULT 7",
            0,
            "sum(stock) FROM items",
            [[14]],
        ),
        ("ALTER TABLE items RENAME COLUMN name TO title", 0, "title FROM items LIMIT 1", [["cup"]]),
        ("ALTER TABLE orders RENAME TO sales", 0, "num FROM sales", [[6]]),
        ("ALTER TABLE items DROP COLUMN price", 0, "* FROM items LIMIT 1", [[1, "cup"]]),
        ("DROP TABLE orders", 0, "count(*) FROM sqlite_master WHERE name = 'orders'", [[0]]),
        ("SELECT name FROM items", 0, "count(*) FROM items", [[2]]),
    ],
)
def test_one_statement_changes_rows_or_the_schema(
    shop: Path, query: str, num_changed: int, check: str, rows: list[list[object]]
) -> None:
    found = run(shop, query)
    assert found.get("num_changed") == num_changed, found
    assert run(shop, f"SELECT {check}")["rows"] == rows


def test_rows_that_a_change_returns_are_told_and_all_are_changed_though_few_are_told(
    shop: Path,
) -> None:
    found = run(shop, "UPDATE items SET price = 1 RETURNING id, price", max_rows=1)
    assert found["rows"] == [[1, 1.0]] and found["truncated"] and found["num_changed"] == 2
    assert run(shop, "SELECT sum(price) FROM items")["rows"] == [[2.0]]


@pytest.mark.parametrize(
    "query",
    [
        "ATTACH 'other.db' AS other",
        "DETACH main",
        "PRAGMA journal_mode = WAL",
        "PRAGMA max_page_count = 100000",
        "PRAGMA writable_schema = ON",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT s",
        "VACUUM",
        "VACUUM INTO 'copy.db'",
        "ANALYZE",
        "CREATE TEMP TABLE t (x)",
        "CREATE VIRTUAL TABLE v USING fts5(x)",
        "CREATE TRIGGER t AFTER INSERT ON items BEGIN DELETE FROM orders; END",
        "INSERT INTO sqlite_master VALUES ('table', 't', 't', 0, 'CREATE TABLE t (x)')",
        "DELETE FROM sqlite_master",
        "INSERT INTO items (name) VALUES (readfile('/etc/passwd'))",
        "SELECT load_extension('/tmp/x.so')",
        "SELECT sqlite_rename_test('main', 'CREATE TABLE t (x)', 't', 0, '', 0)",
        "SELECT sqlite_drop_column(1, 'CREATE TABLE t (x)', 1)",
        "INSERT INTO orders VALUES (99, 1)",
        "DELETE FROM items WHERE id = 1",
        "INSERT INTO items (name) VALUES ('lid'), ('cup')",
        "DELETE FROM items; DELETE FROM orders",
        "DELETE FROM nowhere",
    ],
)
def test_what_reaches_further_or_breaks_a_rule_changes_nothing(shop: Path, query: str) -> None:
    before, beside = dump(shop), os.listdir(shop.parent)
    assert list(run(shop, query)) == ["refused"]
    assert dump(shop) == before and os.listdir(shop.parent) == beside


def test_a_statement_that_is_stopped_or_grows_too_large_changes_nothing(shop: Path) -> None:
    before = dump(shop)
    assert run(shop, ENDLESS) == {"stopped": "100000 steps"}
    assert "full" in run(shop, ENDLESS, max_ops=10**9)["refused"]
    assert dump(shop) == before and shop.stat().st_size <= 1 << 20


def test_a_file_larger_than_allowed_may_still_be_cleared(shop: Path) -> None:
    many = ENDLESS + " LIMIT 5000"
    assert run(shop, many, max_ops=10**9)["num_changed"] == 5000
    assert "full" in run(shop, many, max_ops=10**9, max_database_bytes=4096)["refused"]
    assert run(shop, "DELETE FROM orders", max_database_bytes=4096)["num_changed"] == 5001


async def test_the_tool_writes_one_at_a_time_and_tells_what_it_may(shop: Path) -> None:
    tool = sqlite_tool(shop, writes=True)
    assert (tool.effect, tool.description) == ("write", "Run one SQL statement on the database.")
    more = {"query": "UPDATE orders SET num = num + 1"}
    changed = await asyncio.gather(*(tool.invoke(more) for _ in range(3)))
    assert changed == [Rows(columns=(), rows=(), num_changed=1)] * 3
    assert (await tool.invoke({"query": "SELECT num FROM orders"})).rows == ((9,),)
    with pytest.raises(ToolFailed, match="not authorized") as failed:
        await tool.invoke({"query": "PRAGMA user_version = 3"})
    assert failed.value.remedy == "Write one statement over the tables there are."


async def test_writers_beside_each_other_wait_for_the_lock(shop: Path) -> None:
    more = "UPDATE orders SET num = num + 1"
    await asyncio.gather(*(query_database(shop, more, writes=True) for _ in range(3)))
    with closing(sqlite3.connect(shop)) as connection:
        assert connection.execute("SELECT num FROM orders").fetchone() == (9,)
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(ToolFailed, match="locked"):
            await query_database(shop, more, writes=True, limits=QueryLimits(timeout_s=0.1))


async def test_a_writer_that_is_killed_has_changed_nothing(shop: Path) -> None:
    before = dump(shop)
    limits = QueryLimits(max_ops=10**15, timeout_s=50, max_database_bytes=1 << 30)
    call = asyncio.create_task(query_database(shop, ENDLESS, writes=True, limits=limits))
    while not _has_spilled(shop):
        await asyncio.sleep(0.005)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert dump(shop) == before
    with pytest.raises(ToolTimeout):
        await query_database(shop, ENDLESS, writes=True, limits=QueryLimits(max_ops=1000))


def _has_spilled(path: Path) -> bool:
    """Whether pages that are not committed lie in the file already."""
    return path.stat().st_size > 1 << 20


async def test_a_toolbox_lets_sql_write_only_where_it_is_told_to(shop: Path) -> None:
    for writes in (False, True):
        options = ToolboxOptions(
            python="off", has_shell=False, database=shop, writes_database=writes
        )
        async with open_toolbox(shop.parent, options) as tools:
            call = tools.get("sql").invoke({"query": "DELETE FROM orders"})
            if writes:
                assert (await call).num_changed == 1
            else:
                with pytest.raises(ToolFailed):
                    await call

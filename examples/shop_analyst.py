"""Ask a small shop's database in English: `weft run examples/shop_analyst.py`.

A planner splits the question into lookups. For every lookup several agents write SQL under a
grammar at the same time, sharing their prompt's KV cache; each query runs read-only on a real
SQLite database, and the result that most of them agree on wins. A writer turns the results into
a sentence.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import BaseModel

from weft import Ebnf, Verdict, chat, pmap, program, step, tool, verifier, vote
from weft.tools.sqlite import Cell, query_database

QUESTION = "How many shipped orders are there, and what is the most expensive product?"
NUM_CANDIDATES = 8
MAX_LOOKUPS = 6

SQL = Ebnf(
    r"""
root ::= "SELECT " ("DISTINCT ")? item (", " item)* " FROM " table join* where? group? order?
item ::= column | aggregate
aggregate ::= "COUNT(*)" | "COUNT(DISTINCT " column ")" | function "(" amount ")"
function ::= "SUM" | "AVG" | "MIN" | "MAX"
amount ::= column | "quantity * price"
table ::= "orders" | "customers" | "products"
join ::= " JOIN customers USING (customer_id)" | " JOIN products USING (product_id)"
where ::= " WHERE " condition ((" AND " | " OR ") condition)*
condition ::= column test
test ::= compare value | between | in | except
between ::= " BETWEEN " number " AND " number
in ::= " IN (" value (", " value)* ")"
except ::= " NOT IN (SELECT " column " FROM orders" join* where? ")"
compare ::= " = " | " <> " | " < " | " > " | " <= " | " >= "
value ::= number | "'" [A-Za-z0-9 -]+ "'"
number ::= [0-9]+
group ::= " GROUP BY " column (" HAVING " aggregate compare number)?
order ::= " ORDER BY " item (" ASC" | " DESC") limit? | limit
limit ::= " LIMIT " number
column ::= "order_id" | "customer_id" | "product_id" | "quantity" | "month" | "status"
    | "customer" | "city" | "tier" | "joined" | "product" | "category" | "price" | "stock"
"""
)


class Lookup(BaseModel):
    """One simple question and what the database says."""

    question: str
    sql: str
    rows: list[list[Cell]]
    agreement: float
    """Share of the agents' queries that gave these rows."""


class Answer(BaseModel):
    answer: str
    lookups: list[Lookup]


class Attempt(BaseModel):
    """One agent's query and its result."""

    sql: str
    rows: list[list[Cell]]

    @property
    def key(self) -> str:
        return json.dumps(self.rows)


@tool(effect="read", timeout_s=10)
async def run_sql(database: str, query: str) -> list[list[Cell]]:
    """Run one SELECT on the shop's database, which cannot be changed by it.

    Args:
        database: path of the SQLite file.
        query: the SELECT statement.
    """
    answer = await query_database(database, query, tool="run_sql")
    return [list(row) for row in answer.rows]


@verifier
def agrees(attempt: Attempt, attempts: list[Attempt]) -> Verdict:
    """The share of attempts that found the same rows."""
    votes = sum(other.key == attempt.key for other in attempts)
    return Verdict(score=votes / len(attempts), comment=f"{votes} of {len(attempts)} agree")


@step
async def attempt(database: str, query: str) -> Attempt:
    return Attempt(sql=query, rows=await run_sql(database, query))


@program
async def lookup(database: str, question: str) -> Lookup:
    """Have several agents write the query, run them all, and keep the rows most agree on."""
    queries = (
        chat("Write SQL for the shop.")
        .user(question)
        .gen(out=SQL, n=NUM_CANDIDATES, temperature=0.8, max_tokens=120, name="write_sql")
    )
    attempts = [attempt(database, query) async for query in queries]
    winner = await vote(attempts, key=lambda one: one.key)
    done = [one.result() for one in attempts if one.is_done and one.error is None]
    verdict = await agrees(winner, done)
    return Lookup(question=question, sql=winner.sql, rows=winner.rows, agreement=verdict.score)


@program
async def shop_analyst(question: str = QUESTION) -> Answer:
    """Answer a question in English about the shop."""
    with TemporaryDirectory() as folder:
        database = build_shop(Path(folder) / "shop.sqlite")
        questions = (
            await chat("Split the question.")
            .user(question)
            .gen(out=list[str], temperature=0, max_tokens=160, name="split")
        )
        lookups = await pmap(lambda simple: lookup(database, simple), questions[:MAX_LOOKUPS])
        results = "\n".join(f"{one.question} {json.dumps(one.rows)}" for one in lookups)
        text = (
            await chat("Answer from the results.")
            .user(results)
            .gen(temperature=0, max_tokens=120, name="write_answer")
        )
        return Answer(answer=text, lookups=lookups)


def build_shop(path: Path) -> str:
    """Make the shop's database from the script that comes with the mini model."""
    script = (files("weft.runtime") / "assets" / "mini" / "shop.sql").read_text("utf-8")
    with closing(sqlite3.connect(path)) as database:
        database.executescript(script)
    return str(path)

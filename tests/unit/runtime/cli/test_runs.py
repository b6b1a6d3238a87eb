from __future__ import annotations

import asyncio
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from weft.errors import CallerError
from weft.programs import TokenNode, TokenTree
from weft.runtime.cli.app import app
from weft.runtime.cli.runs import RecordedRun, find_run, print_run, print_tree, run_as_json
from weft.runtime.cli.stores import opened_store
from weft.runtime.journal import MemoryStore
from weft.runtime.journal.record import RunRecord, StepRecord
from weft.runtime.observe.usage import Usage


def a_run(run_id: str) -> RunRecord:
    return RunRecord(
        run_id=run_id,
        program="team:brief",
        fingerprint="f",
        seed=3,
        input_json='{"topic": "[tea]"}',
        status="failed",
        output_json=None,
        error="ValueError: no",
        started_at=0.0,
        ended_at=2.0,
    )


def a_step(lineage: str, parent: str) -> StepRecord:
    return StepRecord(
        run_id="abc",
        lineage=lineage,
        name=lineage.rpartition("/")[2],
        kind="gen",
        parent=parent,
        inputs=(),
        input_hash="h",
        input_json='{"prompt": "x"}',
        status="finished",
        output_json='"y"',
        error="",
        num_attempts=2,
        usage=Usage(num_generated_tokens=5, seconds=1.5),
        started_at=0.0,
        ended_at=1.5,
    )


async def store_of(*run_ids: str) -> MemoryStore:
    store = MemoryStore()
    for run_id in run_ids:
        await store.begin_run(a_run(run_id))
    return store


async def test_run_is_found_by_id_or_by_the_beginning_of_one_only() -> None:
    store = await store_of("abc", "abd", "b")
    for wanted, found in (("abd", "abd"), ("abc", "abc"), ("b", "b")):
        assert (await find_run(store, wanted)).run.run_id == found
    with pytest.raises(CallerError, match="2 runs start with 'ab'"):
        await find_run(store, "ab")
    with pytest.raises(CallerError, match="There is no run 'abe'"):
        await find_run(store, "abe")
    with pytest.raises(CallerError, match="The store is empty"):
        await find_run(await store_of(), "abc")


def test_steps_stand_below_their_parents() -> None:
    steps = [a_step("brief", ""), a_step("brief/one", "brief"), a_step("lost/x", "lost")]
    shown = io.StringIO()
    print_run(RecordedRun(a_run("abc"), steps), Console(file=shown, width=100))
    depth = {
        name: len(match[1])
        for name in ("brief", "one", "x")
        if (match := re.search(rf"^([ │├└─]*){name} gen", shown.getvalue(), re.MULTILINE))
    }
    assert depth["one"] > depth["brief"] == depth["x"]
    assert '{"topic": "[tea]"}' in shown.getvalue()
    assert "5 tokens 2 attempts 1.50 s" in shown.getvalue()


def test_json_holds_data_instead_of_texts() -> None:
    shown = run_as_json(RecordedRun(a_run("abc"), [a_step("brief", "")]))
    assert (shown["input"], shown["output"], shown["error"]) == (
        {"topic": "[tea]"},
        None,
        "ValueError: no",
    )
    assert "input_json" not in shown


GENERATED = replace(
    a_step("brief/gen", "brief"),
    input_json='{"tokens": [1, 2], "past": null, "n": 2}',
    output_json="""[
        {"index": 0, "token_ids": [3, 4], "logprobs": [[-0.5, {}, -0.5], [-0.25, {}, 0.0]]},
        {"index": 1, "token_ids": [3], "logprobs": [[-0.5, {}, -0.5]]}
    ]""",
)


def test_the_tree_of_a_run(tmp_path: Path) -> None:
    where = str(tmp_path / "weft.db")

    async def write() -> None:
        async with opened_store(where) as store:
            await store.begin_run(a_run("abc"))
            await store.put_step(GENERATED)

    asyncio.run(write())
    shown = CliRunner().invoke(app, ["runs", "tree", "ab", "--store", where, "--json"])
    tree = TokenTree.from_json(shown.stdout)
    assert [(node.tokens, node.logprobs) for node in tree.nodes] == [
        ((1, 2), ()),
        ((3,), (-0.5,)),
        ((4,), (-0.25,)),
    ]
    picture = CliRunner().invoke(app, ["runs", "tree", "abc", "--store", where]).stdout
    assert "2 of 4 tokens generated" in picture
    assert "1 1 tokens brief/gen[0], brief/gen[1]" in picture


def test_a_join_is_shown_below_its_first_branch() -> None:
    nodes = (
        TokenNode(tokens=(1,)),
        TokenNode(tokens=(2,), parents=(0,)),
        TokenNode(tokens=(3,), parents=(0,)),
        TokenNode(tokens=(4, 5), parents=(1, 2), placing="rotated"),
    )
    shown = io.StringIO()
    print_tree(TokenTree(nodes=nodes), Console(file=shown, width=100))
    assert "3 2 tokens behind 1, 2 rotated" in shown.getvalue()

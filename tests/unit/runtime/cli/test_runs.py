from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from weft.errors import CallerError
from weft.runtime.cli.runs import RecordedRun, find_run, print_run, run_as_json
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

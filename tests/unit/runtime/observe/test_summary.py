from __future__ import annotations

import pytest

from tests.unit.runtime.observe.recorded import Recorder, shop_run
from weft.runtime.observe import RunView, Usage, summarise


def test_totals_count_every_step_once_and_work_only_where_it_was_done() -> None:
    summary = summarise(shop_run())
    assert (summary.program, summary.phase) == ("shop:answer", "finished")
    assert (summary.num_steps, summary.num_failed_steps) == (4, 1)
    assert summary.usage == Usage(
        num_prompt_tokens=40,
        num_cached_tokens=30,
        num_generated_tokens=12,
        num_requests=1,
        num_tool_calls=1,
        seconds=1.0,
    )
    assert summary.usage.hit_rate == 0.75
    assert summary.seconds == 4.0


def test_the_critical_path_follows_edges_not_the_clock() -> None:
    summary = summarise(shop_run())
    # The note ran for 3.0 s; SQL and rows took 1.75 s and 1.0 s one after the other.
    assert summary.critical_path == ("answer/note",)
    assert summary.critical_path_seconds == 3.0
    chained = [event for event in shop_run() if event.lineage != "answer/note"]
    summary = summarise(chained)
    assert summary.critical_path == ("answer/sql", "answer/rows")
    assert summary.critical_path_seconds == pytest.approx(2.75)


def test_lines_are_for_people() -> None:
    assert summarise(shop_run()).lines() == [
        "answer finished in 4.0 s",
        "4 steps (1 failed), 1 requests, 1 tool calls, 1.0 s of work",
        "12 tokens generated from 40 of prompt, 75% of it from shared KV",
        "critical path 3.0 s over 1 steps",
    ]


def test_an_empty_run_has_a_summary() -> None:
    summary = summarise([])
    assert (summary.num_steps, summary.critical_path, summary.seconds) == (0, (), 0.0)


def test_a_retry_forgets_the_text_of_the_attempt_before() -> None:
    step = RunView.of(shop_run()).steps["answer/sql"]
    assert step.texts == {0: "SELECT 42"}
    assert (step.num_retries, step.asked, step.told) == (
        1,
        "Write SQL for: how many mugs?",
        "SELECT 42",
    )


def test_a_view_keeps_only_the_end_of_long_texts() -> None:
    recorder, view = Recorder(), RunView(max_text=4)
    recorder.step(0.0, "answer/sql", "submitted")
    for word in ("ab", "cde", "f"):
        recorder.token(0.1, "answer/sql", word)
    recorder.token(0.1, "answer/sql", "other", index=1)
    for event in recorder.events:
        view.apply(event)
    assert view.steps["answer/sql"].texts == {0: "cdef", 1: "ther"}
    assert view.usage.num_generated_tokens == 4


def test_events_of_an_unknown_step_are_harmless() -> None:
    recorder = Recorder()
    recorder.token(0.1, "nobody", "text")
    assert RunView.of(recorder.events).steps == {}

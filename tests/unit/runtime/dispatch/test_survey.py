"""Snapshots of ledgers made by hand, and of programs that run."""

from __future__ import annotations

import dataclasses
import json

import pytest

from weft.errors import UnsupportedFeature
from weft.programs import context, gen, program, tool
from weft.runtime.dispatch import ProgramSnapshot, ScheduledEngine, Snapshot
from weft.runtime.dispatch.program import OpenProgram
from weft.runtime.dispatch.survey import survey_programs
from weft.runtime.engine.programs import ProgramStart
from weft.runtime.executor import Run
from weft.runtime.scheduler import (
    CallAnswered,
    CallAsked,
    Demote,
    Dispatch,
    Ledger,
    Pause,
    ProgramArrived,
    ReplicaSized,
    SuccessorsKnown,
    ToolStarted,
    make_policy,
)
from weft.runtime.scheduler.accounts import ToolRun
from weft.runtime.testing import ManualClock, Prompted, Reply, ScriptedEngine, Sequencer, settle


def opened(run_id: str, began_s: float, deadline_s: float | None = None) -> OpenProgram:
    start = ProgramStart(run_id=run_id, path=f"m:{run_id}", tenant="t", deadline_s=deadline_s)
    return OpenProgram(start, began_s)


def ledger_with(*run_ids: str) -> Ledger:
    """Everybody has asked for a call of 100 tokens at 1 s, and expects 20 more."""
    ledger = Ledger()
    ledger.tell(ReplicaSized(0.0, "0", 1000, 8, 500))
    for run_id in run_ids:
        ledger.tell(ProgramArrived(1.0, run_id))
        ledger.tell(CallAsked(1.0, run_id, f"{run_id}-1", 100, 100, 20))
    return ledger


def answered(ledger: Ledger, program: OpenProgram, at_s: float) -> None:
    """Its first call was dispatched at 2 s, and says ten tokens."""
    run_id = program.start.run_id
    ledger.tell(Dispatch(2.0, run_id, f"{run_id}-1", "0"))
    ledger.tell(CallAnswered(at_s, f"{run_id}-1", 10, 110))
    program.left_s = at_s


def only(program: OpenProgram, ledger: Ledger, now_s: float) -> ProgramSnapshot:
    [listed] = survey_programs([program], ledger, now_s, 10).listed
    return listed


def test_a_program_before_its_first_call_is_new() -> None:
    seen = only(opened("a", 3.0, deadline_s=10.0), Ledger(), 5.0)
    assert (seen.phase, seen.phase_s, seen.replica, seen.kv_tokens) == ("new", 2.0, None, 0)
    assert (seen.steps_done, seen.steps_left, seen.deadline_left_s) == (0, None, 8.0)


def test_a_tool_before_the_first_call_is_shown() -> None:
    program = opened("a", 3.0)
    program.tools = {"1": ToolRun("look", 3.0), "2": ToolRun("look", 4.0), "3": ToolRun("ask", 4.5)}
    seen = only(program, Ledger(), 5.0)
    assert (seen.phase, seen.num_tools) == ("acting", 3)
    assert [(one.tool, one.num_running, one.longest_s) for one in seen.tools] == [
        ("look", 2, 2.0),
        ("ask", 1, 0.5),
    ]


def test_who_waits_waits_since_it_asked() -> None:
    seen = only(opened("a", 0.5), ledger_with("a"), 4.0)
    assert (seen.phase, seen.phase_s, seen.num_waiting, seen.num_running) == ("waiting", 3.0, 1, 0)


def test_who_is_served_holds_its_prompt_and_the_room_for_its_output() -> None:
    ledger = ledger_with("a")
    ledger.tell(SuccessorsKnown(1.0, "a", 3, 9.0))
    ledger.tell(Dispatch(2.0, "a", "a-1", "0"))
    seen = only(opened("a", 0.5), ledger, 4.0)
    assert (seen.phase, seen.phase_s, seen.replica, seen.kv_tokens) == ("generating", 2.0, "0", 120)
    assert (seen.steps_done, seen.steps_left, seen.attained_s) == (0, 3, 0.0)


def test_a_call_that_waits_beside_one_that_was_answered_waits_since_then() -> None:
    ledger, program = ledger_with("a"), opened("a", 0.5)
    ledger.tell(CallAsked(1.5, "a", "a-2", 100, 0, 20))
    answered(ledger, program, 5.0)
    assert only(program, ledger, 6.0).phase_s == 1.0


def test_who_acts_has_answered_steps_and_tools() -> None:
    ledger, program = ledger_with("a"), opened("a", 0.5)
    ledger.tell(SuccessorsKnown(1.0, "a", 3, 9.0))
    answered(ledger, program, 5.0)
    ledger.tell(ToolStarted(5.5, "a", "look", "r"))
    program.tools["r"] = ToolRun("look", 5.5)
    seen = only(program, ledger, 7.0)
    assert (seen.phase, seen.phase_s, seen.kv_tokens, seen.attained_s) == ("acting", 2.0, 110, 3.0)
    assert (seen.steps_done, seen.steps_left, seen.tools[0].longest_s) == (1, 2, 1.5)


def test_who_was_demoted_or_paused_holds_nothing() -> None:
    ledger, one, other = ledger_with("a", "b"), opened("a", 0.5), opened("b", 0.5)
    answered(ledger, one, 5.0)
    answered(ledger, other, 5.0)
    ledger.tell(Demote(6.0, "a", "0"))
    ledger.tell(Pause(6.5, "b"))
    demoted, paused = only(one, ledger, 7.0), only(other, ledger, 7.0)
    assert (demoted.replica, demoted.kv_tokens, demoted.demoted_tokens) == ("0", 0, 110)
    assert (paused.phase, paused.phase_s, paused.replica) == ("paused", 0.5, None)


def test_those_that_share_a_prefix_hold_a_part_of_it_each() -> None:
    ledger = Ledger()
    ledger.tell(ReplicaSized(0.0, "0", 1000, 8))
    programs = [opened(name, 0.0) for name in "ab"]
    for one in "ab":
        ledger.tell(ProgramArrived(1.0, one, prefix="p", prefix_tokens=60))
        ledger.tell(CallAsked(1.0, one, one, 100, 40, 20))
        ledger.tell(Dispatch(2.0, one, one, "0"))
    held = [one.kv_tokens for one in survey_programs(programs, ledger, 3.0, 9).listed]
    assert held == [90, 90]
    assert sum(held) == ledger.replicas["0"].used_tokens


def test_what_is_left_out_is_counted_and_is_the_least() -> None:
    names = [f"p{number}" for number in range(20)]
    ledger = ledger_with(*names)
    for name in names[5:9]:
        ledger.tell(Dispatch(2.0, name, f"{name}-1", "0"))
    survey = survey_programs([opened(name, 0.0) for name in names], ledger, 3.0, 6)
    assert [one.phase for one in survey.listed] == ["generating"] * 4 + ["waiting"] * 2
    assert survey.num_left_out == 14
    assert survey.num_by_phase == {
        "generating": 4,
        "waiting": 16,
        "paused": 0,
        "acting": 0,
        "new": 0,
    }


@tool
async def look(word: str) -> str:
    """Look a word up.

    Args:
        word: Which.
    """
    return word


@program
async def agent(name: str) -> str:
    written = context(name * 60, is_raw=True)
    step = gen(written, max_tokens=8)
    await step
    found = await look(name)
    return await gen(written.write(step, found), max_tokens=8)


async def test_a_snapshot_is_of_what_runs() -> None:
    sequencer, clock = Sequencer(), ManualClock(50.0)

    def script(prompted: Prompted) -> Reply:
        return Reply(text="x" * 8, wait=lambda: sequencer.wait(prompted.text[0]))

    engine = ScheduledEngine(
        ScriptedEngine(script, kv_tokens=100, name="scripted"),
        policy=make_policy("fcfs"),
        clock=clock,
    )
    runs = [await Run.start(agent, name, engine=engine, run_id=name) for name in "ab"]
    await settle()
    clock.advance(2.0)
    seen = engine.snapshot()
    assert [(one.run_id, one.phase, one.phase_s) for one in seen.programs] == [
        ("a", "generating", 2.0),
        ("b", "waiting", 2.0),
    ]
    assert (seen.engine, seen.policy, seen.open_s) == ("scripted", "fcfs", 2.0)
    assert (seen.num_waiting, seen.oldest_wait_s, seen.decisions.num_dispatches) == (1, 2.0, 1)
    [replica] = seen.replicas
    assert (replica.used_tokens, replica.capacity_tokens, replica.num_running) == (68, 100, 1)
    for name in "ab":
        sequencer.open(name)
    for run in runs:
        await run.result()
    clock.advance(2.0)
    ended = engine.snapshot()
    assert (ended.programs, ended.num_waiting, ended.oldest_wait_s) == ((), 0, 0.0)
    assert ended.decisions.num_dispatches == 4
    assert ended.decisions.num_evictions >= 1
    assert (ended.num_generated_tokens, ended.tokens_per_s) == (32, 16.0)


async def test_counters_begin_with_the_scheduler() -> None:
    own = ScriptedEngine()
    await (await Run.start(agent, "a", engine=own)).result()
    engine = ScheduledEngine(own)
    assert engine.snapshot().num_generated_tokens == 0
    await (await Run.start(agent, "a", engine=engine)).result()
    assert engine.snapshot().num_generated_tokens == 16


async def test_a_snapshot_goes_through_json_and_comes_back() -> None:
    sequencer = Sequencer()
    engine = ScheduledEngine(
        ScriptedEngine(lambda _: Reply(text="x", wait=lambda: sequencer.wait("never")))
    )
    run_id = "\ud800" + "long" * 200
    run = await Run.start(agent, "a", engine=engine, run_id=run_id, deadline_s=9.0)
    await settle()
    seen = engine.snapshot()
    line = seen.to_json()
    assert b"\n" not in line and len(seen.programs[0].run_id) < 220
    assert Snapshot.from_json(line) == seen
    assert json.loads(line) == json.loads(json.dumps(dataclasses.asdict(seen)))
    await run.cancel()


@pytest.mark.parametrize("line", [b"", b"[]", b"{}", b'{"pid": "x"}', b"\xff"])
def test_what_is_no_snapshot_is_refused(line: bytes) -> None:
    with pytest.raises(UnsupportedFeature, match="no snapshot"):
        Snapshot.from_json(line)

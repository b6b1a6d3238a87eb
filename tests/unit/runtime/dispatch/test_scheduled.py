"""Programs on engines under a scheduler, as a caller sees them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.support.accounts import check_accounts
from weft.errors import EngineClosed, InvalidRequest
from weft.programs import Step, context, gen, program, tool
from weft.programs.request import Request
from weft.programs.sampling import Sampling
from weft.runtime.dispatch import ScheduledEngine
from weft.runtime.executor import Run
from weft.runtime.scheduler import (
    CallAsked,
    Decided,
    Demote,
    Dispatch,
    Entry,
    Evict,
    Pause,
    ProgramArrived,
    SuccessorsKnown,
    ToolReturned,
    ToolStarted,
    make_policy,
    replay,
)
from weft.runtime.testing import ManualClock, Prompted, Reply, ScriptedEngine, Sequencer, settle


@program
async def ask(text: str) -> str:
    return await gen(text, is_raw=True, max_tokens=8)


def decisions(log: list[Entry]) -> Iterator[object]:
    for entry in log:
        if isinstance(entry, Decided):
            yield from entry.decisions


def held(sequencer: Sequencer) -> ScriptedEngine:
    """Answers when the sequencer lets the prompt pass."""

    def script(prompted: Prompted) -> Reply:
        return Reply(text="answer", wait=lambda: sequencer.wait(prompted.text))

    return ScriptedEngine(script, max_running=1)


async def start(engine: ScheduledEngine, text: str, **options: object) -> Run[str]:
    return await Run.start(ask, text, engine=engine, run_id=text, **options)  # type: ignore[arg-type]


async def test_results_are_those_of_the_engine() -> None:
    plain, scheduled = ScriptedEngine(), ScheduledEngine(ScriptedEngine())
    texts = [f"prompt {number}" for number in range(5)]
    for engine in (plain, scheduled):
        runs = [await Run.start(ask, text, engine=engine) for text in texts]
        assert [await run.result() for run in runs] == [text[:8] for text in texts]


async def test_a_call_waits_for_its_turn() -> None:
    sequencer = Sequencer()
    own = held(sequencer)
    engine = ScheduledEngine(own)
    first, second = await start(engine, "one"), await start(engine, "two")
    await settle()
    assert own.prompts == ["one"]
    assert engine.scheduler.num_waiting == 1
    assert engine.stats().num_waiting == 1
    sequencer.open("one")
    sequencer.open("two")
    assert [await first.result(), await second.result()] == ["answer", "answer"]
    assert own.prompts == ["one", "two"]


async def test_a_larger_priority_goes_first() -> None:
    sequencer = Sequencer()
    own = held(sequencer)
    engine = ScheduledEngine(own)
    runs = [await start(engine, "first")]
    await settle()
    runs += [await start(engine, "low", priority=0), await start(engine, "high", priority=5)]
    for name in ("first", "low", "high"):
        sequencer.open(name)
    for run in runs:
        await run.result()
    assert own.prompts == ["first", "high", "low"]


async def test_a_cancelled_run_leaves_the_line_and_its_neighbours_go_on() -> None:
    sequencer = Sequencer()
    own = held(sequencer)
    engine = ScheduledEngine(own)
    runs = [await start(engine, name) for name in ("one", "two", "three")]
    await settle()
    await runs[1].cancel()
    assert engine.scheduler.num_waiting == 1
    await runs[0].cancel()
    sequencer.open("three")
    assert await runs[2].result() == "answer"
    check_accounts(engine.scheduler.ledger)
    assert not engine.scheduler.ledger.programs
    assert not engine.scheduler.ledger.calls
    assert not engine.book.programs()


async def test_what_an_ended_run_held_is_the_first_to_go() -> None:
    own = ScriptedEngine()
    engine = ScheduledEngine(own)
    await (await start(engine, "one")).result()
    assert own.given_up == ["one"]


async def test_what_never_fits_fails_alone() -> None:
    engine = ScheduledEngine(ScriptedEngine(kv_tokens=40))
    small, large = await start(engine, "small"), await start(engine, "large" * 20)
    with pytest.raises(InvalidRequest, match="more KV memory than there is"):
        await large.result()
    assert await small.result() == "small"
    assert not engine.scheduler.ledger.programs


@pytest.mark.parametrize("spill_tokens", [0, 1000])
async def test_an_idle_run_makes_room_for_one_that_waits(spill_tokens: int) -> None:
    sequencer, log = Sequencer(), list[Entry]()

    @tool
    async def look(word: str) -> str:
        """Look a word up.

        Args:
            word: Which.
        """
        await sequencer.wait(word)
        return word

    @program
    async def agent(name: str) -> str:
        written = context(name * 60, is_raw=True)
        step = gen(written, max_tokens=8)
        await step
        found = await look(name)
        return await gen(written.write(step, found), max_tokens=8)

    own = ScriptedEngine(kv_tokens=100, spill_tokens=spill_tokens)
    engine = ScheduledEngine(own, record=log.append)
    runs = [await Run.start(agent, name, engine=engine, run_id=name) for name in "ab"]
    await settle(200)
    assert len(own.prompts) == 2, "the tool of the first runs, so its KV made room"
    for name in "ab":
        sequencer.open(name)
    assert [await run.result() for run in runs] == ["aaaaaaaa", "bbbbbbbb"]
    taken = [one for one in decisions(log) if isinstance(one, Demote | Evict | Pause)]
    assert taken
    assert {type(one) for one in taken} <= ({Demote} if spill_tokens else {Evict, Pause})
    assert (own.demoted if spill_tokens else own.given_up)[0] == "a"
    assert [type(one) for one in log if isinstance(one, ToolStarted | ToolReturned)] == [
        ToolStarted,
        ToolStarted,
        ToolReturned,
        ToolReturned,
    ]


async def test_a_tool_from_before_the_first_call_is_seen_and_not_told_of() -> None:
    sequencer, log = Sequencer(), list[Entry]()

    @tool
    async def prepare(word: str) -> str:
        """Make something ready.

        Args:
            word: What.
        """
        await sequencer.wait(word)
        return word

    @program
    async def prepared() -> str:
        ready = prepare("early")
        said = await gen("x", is_raw=True, max_tokens=1)
        return said + await ready

    engine = ScheduledEngine(ScriptedEngine(), record=log.append)
    run = await Run.start(prepared, engine=engine)
    await settle()
    [seen] = engine.snapshot().programs
    assert [(one.tool, one.num_running) for one in seen.tools] == [("prepare", 1)]
    sequencer.open("early")
    assert await run.result() == "xearly"
    assert not [one for one in log if isinstance(one, ToolStarted | ToolReturned)]


async def test_what_it_did_can_be_replayed() -> None:
    log: list[Entry] = []
    clock = ManualClock()
    engine = ScheduledEngine(ScriptedEngine(kv_tokens=100), clock=clock, record=log.append)
    runs = [await Run.start(ask, "x" * n, engine=engine, clock=clock) for n in (40, 50, 60, 70)]
    for run in runs:
        await run.result()
    replayed = replay(log, make_policy())
    assert sum(isinstance(one, Dispatch) for one in decisions(log)) == 4
    assert not replayed.ledger.programs


async def test_runs_of_a_program_share_what_they_begin_with() -> None:
    log: list[Entry] = []
    engine = ScheduledEngine(ScriptedEngine(), record=log.append)
    head = "the same instructions for every run of it: "
    for task in ("abc", "xyz", "uvw"):
        await (await start(engine, head + task)).result()
    sizes = [one.prefix_tokens for one in log if isinstance(one, ProgramArrived)]
    assert sizes == [0, len(head), len(head)]


async def test_later_prompts_may_be_shorter_than_what_runs_begin_with() -> None:
    @program
    async def ask_and_judge() -> str:
        await gen("long instructions that all runs share: " * 3, is_raw=True, max_tokens=4)
        return await gen("judge", is_raw=True, max_tokens=5)

    engine = ScheduledEngine(ScriptedEngine())
    for _ in range(3):
        assert await (await Run.start(ask_and_judge, engine=engine)).result() == "judge"
    check_accounts(engine.scheduler.ledger)


async def test_a_call_is_new_from_where_it_differs_from_earlier_ones() -> None:
    log: list[Entry] = []

    @program
    async def two_steps() -> str:
        written = context("begin ", is_raw=True)
        one: Step[str] = gen(written, max_tokens=3)
        await one
        return await gen(written.write(one, " more"), max_tokens=3)

    engine = ScheduledEngine(ScriptedEngine(), record=log.append)
    await (await Run.start(two_steps, engine=engine)).result()
    asked = [one for one in log if isinstance(one, CallAsked)]
    assert [(one.context_tokens, one.new_tokens) for one in asked] == [(6, 6), (14, 5)]


async def test_later_runs_know_what_is_left() -> None:
    log: list[Entry] = []

    @program
    async def thrice() -> None:
        for number in range(3):
            await gen(f"prompt {number}", is_raw=True, max_tokens=4)

    engine = ScheduledEngine(ScriptedEngine(), record=log.append)
    for _ in range(2):
        await (await Run.start(thrice, engine=engine)).result()
    known = [one.steps_left for one in log if isinstance(one, SuccessorsKnown)]
    assert known == [3, 2, 1]


async def test_what_a_run_has_submitted_is_known_before_any_run_of_it_has_ended() -> None:
    log: list[Entry] = []

    @program
    async def chained() -> str:
        first = gen("a prompt", is_raw=True, max_tokens=4)
        second = gen([first, " and more"], is_raw=True, max_tokens=4)
        return await gen([second, " and more"], is_raw=True, max_tokens=4)

    engine = ScheduledEngine(ScriptedEngine(), record=log.append)
    await (await Run.start(chained, engine=engine)).result()
    known = [one for one in log if isinstance(one, SuccessorsKnown)]
    # Then one is open and no more is certain, which says nothing of the end.
    assert [one.steps_left for one in known] == [4, 3]
    assert known[0].seconds_left > 1.4 * known[1].seconds_left > 0
    await (await Run.start(chained, engine=engine)).result()
    later = [one for one in log if isinstance(one, SuccessorsKnown)][2:]
    assert [one.steps_left for one in later] == [3, 2, 1]


async def test_a_deadline_is_told_from_the_start_of_the_run() -> None:
    log: list[Entry] = []
    clock = ManualClock(100.0)
    engine = ScheduledEngine(ScriptedEngine(), clock=clock, record=log.append)
    await (await start(engine, "one", deadline_s=7.0, clock=clock)).result()
    [arrived] = [one for one in log if isinstance(one, ProgramArrived)]
    assert arrived.deadline_s == 107.0
    with pytest.raises(InvalidRequest, match="deadline_s is -1"):
        await start(engine, "two", deadline_s=-1)


async def test_requests_of_no_run_are_programs_of_their_own() -> None:
    engine = ScheduledEngine(ScriptedEngine())
    request = Request(request_id="r", prompt=(1, 2, 3), sampling=Sampling(max_tokens=2), n=2)
    deltas = [delta async for delta in engine.submit(request)]
    assert {delta.index for delta in deltas} == {0, 1}
    assert not engine.scheduler.ledger.programs
    assert not engine.book.programs()


async def test_replicas_share_the_load() -> None:
    sequencer = Sequencer()
    owns = {"left": held(sequencer), "right": held(sequencer)}
    engine = ScheduledEngine(owns)
    runs = [await start(engine, name) for name in ("one", "two")]
    await settle()
    assert sorted(len(own.prompts) for own in owns.values()) == [1, 1]
    for name in ("one", "two"):
        sequencer.open(name)
    for run in runs:
        await run.result()


async def test_closing_fails_who_waits() -> None:
    engine = ScheduledEngine(held(Sequencer()))
    runs = [await start(engine, name) for name in ("one", "two")]
    await settle()
    await engine.close()
    with pytest.raises(EngineClosed):
        await runs[1].result()
    late = await start(engine, "late")
    with pytest.raises(EngineClosed):
        await late.result()
    await runs[0].cancel()


def test_one_event_loop_at_a_time() -> None:
    engine = ScheduledEngine(ScriptedEngine())

    async def once() -> str:
        return await (await Run.start(ask, "x", engine=engine)).result()

    assert [asyncio.run(once()), asyncio.run(once())] == ["x", "x"]

    async def beside() -> None:
        await once()
        with pytest.raises(InvalidRequest, match="second event loop"):
            await asyncio.to_thread(asyncio.run, once())

    asyncio.run(beside())


async def test_an_engine_of_unknown_memory_is_refused() -> None:
    class Remote:
        name = "remote"

    with pytest.raises(InvalidRequest, match="does not say how much KV memory"):
        ScheduledEngine(Remote())  # type: ignore[arg-type]

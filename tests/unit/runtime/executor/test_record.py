"""What a store is given."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from weft.errors import EngineError, JournalError, ProgramError
from weft.programs import context, gen, program, race, step, tool
from weft.runtime.executor import Run
from weft.runtime.journal.record import RunRecord, RunStatus, StepRecord
from weft.runtime.testing import ManualClock, Prompted, Reply, ScriptedEngine, Sequencer, settle
from weft.tools import IdemKey

NO_KEY = IdemKey("")


class ListStore:
    """A Store in memory that also remembers the order of calls."""

    def __init__(self) -> None:
        self.begun: list[RunRecord] = []
        self.records: list[StepRecord] = []
        self.ended: list[tuple[str, RunStatus, str | None, str]] = []
        self.is_broken = False

    async def begin_run(self, record: RunRecord) -> None:
        self.begun.append(record)

    async def put_step(self, record: StepRecord) -> None:
        if self.is_broken:
            raise JournalError("The disk is full.", remedy="Make room.")
        self.records.append(record)

    async def end_run(
        self, run_id: str, status: RunStatus, output_json: str | None, error: str, ended_at: float
    ) -> None:
        self.ended.append((run_id, status, output_json, error))

    async def runs(self, limit: int = 100) -> Sequence[RunRecord]:
        return self.begun[-limit:]

    async def run(self, run_id: str) -> RunRecord | None:
        return next((one for one in self.begun if one.run_id == run_id), None)

    async def steps(self, run_id: str) -> Sequence[StepRecord]:
        return [one for one in self.records if one.run_id == run_id]

    async def aclose(self) -> None:
        self.records.clear()

    def by_lineage(self) -> dict[str, StepRecord]:
        return {one.lineage: one for one in self.records}


@step
async def shout(text: str) -> str:
    return text.upper()


@program
async def loud(topic: str) -> str:
    draft = gen(f"about {topic}", max_tokens=5)
    return await shout(draft.edge)


async def test_every_step_is_recorded_under_its_lineage() -> None:
    store, clock = ListStore(), ManualClock(100.0)
    engine = ScriptedEngine(lambda _: "hello")
    run = await Run.start(loud, "tea", engine=engine, store=store, run_id="r", seed=3, clock=clock)
    assert await run.result() == "HELLO"
    begun = store.begun[0]
    assert (begun.run_id, begun.seed, begun.status) == ("r", 3, "running")
    assert begun.program.endswith("test_record:loud")
    assert json.loads(begun.input_json) == {"args": ["tea"], "kwargs": {}}
    records = store.by_lineage()
    assert list(records) == ["loud/gen", "loud/shout", "loud"]
    wrote = records["loud/gen"]
    assert (wrote.kind, wrote.status, wrote.parent, wrote.num_attempts) == (
        "gen",
        "finished",
        "loud",
        1,
    )
    assert wrote.output_json is not None
    completion = json.loads(wrote.output_json)[0]
    assert completion["text"] == "hello"
    assert completion["token_ids"] == [ord(letter) for letter in "hello"]
    assert completion["finish_reason"] == "stop"
    asked = json.loads(wrote.input_json)
    assert asked["prompt"][0]["content"] == "about tea"
    assert asked["sampling"]["seed"] == engine.requests[0].sampling.seed
    assert records["loud/shout"].inputs == ("loud/gen",)
    assert records["loud/shout"].output_json == '"HELLO"'
    assert store.ended == [("r", "finished", '"HELLO"', "")]


async def test_input_hashes_change_with_the_seed_and_only_with_it() -> None:
    async def hashes(seed: int) -> list[str]:
        store = ListStore()
        engine = ScriptedEngine(lambda _: "hello")
        await (await Run.start(loud, "tea", engine=engine, store=store, seed=seed)).result()
        return [one.input_hash for one in store.records]

    one, same, other = await hashes(1), await hashes(1), await hashes(2)
    assert one == same
    assert [a == b for a, b in zip(one, other, strict=True)] == [False, True, True]


async def test_failures_and_losers_are_recorded() -> None:
    gates = Sequencer()

    def script(prompted: Prompted) -> Reply:
        if "fail" in prompted.text:
            return Reply(error=EngineError("no"))
        return Reply(text="x", wait=lambda: gates.wait(prompted.text))

    @program
    async def compete() -> str:
        return await race(gen("fail"), gen("slow"), gen("quick"))

    store = ListStore()
    run = await Run.start(compete, engine=ScriptedEngine(script), store=store)
    await settle()
    gates.open("user: quick")
    await run.result()
    statuses = {lineage: one.status for lineage, one in store.by_lineage().items()}
    assert statuses == {
        "compete/gen": "failed",
        "compete/gen#2": "cancelled",
        "compete/gen#3": "finished",
        "compete/race": "finished",
        "compete": "finished",
    }
    assert store.by_lineage()["compete/gen"].error == "EngineError: no"


async def test_a_result_is_recorded_before_anybody_sees_it() -> None:
    store = ListStore()
    store.is_broken = True
    run = await Run.start(loud, "tea", engine=ScriptedEngine(), store=store)
    with pytest.raises(JournalError, match="disk is full"):
        await run.result()


async def test_a_result_that_is_not_data_is_refused() -> None:
    @step
    async def opaque() -> object:
        return object()

    @program
    async def wrong() -> None:
        await opaque()

    run = await Run.start(wrong, engine=ScriptedEngine(), store=ListStore())
    with pytest.raises(ProgramError, match="'wrong/opaque' cannot be recorded"):
        await run.result()


async def test_a_write_tool_gets_one_key_for_all_attempts() -> None:
    keys: list[str] = []

    @tool(effect="write", retries=2)
    async def pay(amount: int, *, key: IdemKey = NO_KEY) -> int:
        """Pay an amount."""
        keys.append(str(key))
        if len(keys) < 3:
            raise ValueError("try again")
        return amount

    @program
    async def shop() -> int:
        return await pay(3)

    run = await Run.start(shop, engine=ScriptedEngine(), run_id="r", store=ListStore())
    assert await run.result() == 3
    assert keys == ["r/shop/pay"] * 3
    assert run.usage.num_tool_calls == 3


async def test_a_tool_takes_a_step_as_argument_and_checks_it() -> None:
    @tool(effect="pure")
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @program
    async def calculate() -> int:
        return await add(gen("a number", out=int).edge, b=2)

    run = await Run.start(calculate, engine=ScriptedEngine(lambda _: "40"))
    assert await run.result() == 42
    outside: object = add(1, 2)
    assert outside == 3


async def test_a_record_says_which_tokens_were_gone_on_from() -> None:
    """Branches of one prompt differ in what is written behind it."""

    @program
    async def fork() -> str:
        branches = context("Well", is_raw=True).fork(["?", "!"])
        steps = [gen(branch, seed=1) for branch in branches]
        return (await steps[0]) + (await steps[1])

    store, engine = ListStore(), ScriptedEngine(lambda _: "a")
    await (await Run.start(fork, engine=engine, store=store)).result()
    one, two = (one for one in store.records if one.kind == "gen")
    told = [engine.decode(json.loads(record.input_json)["tokens"]) for record in (one, two)]
    assert told == ["Well?", "Well!"]
    assert one.input_hash != two.input_hash

"""Facts that end things, facts that cannot be, and what time does."""

from __future__ import annotations

import pytest

from tests.support.accounts import check_accounts
from tests.unit.runtime.scheduler.story import COSTS, Story
from weft.errors import InvalidRequest, JournalCorrupt, ReplayMismatch
from weft.runtime.scheduler import (
    CallAnswered,
    CallAsked,
    CallCancelled,
    CallGrew,
    Costs,
    Decided,
    Dispatch,
    Entry,
    KvLost,
    OutsideFact,
    ProgramArrived,
    ProgramEnded,
    ReplicaLeft,
    ReplicaSized,
    Scheduler,
    decode_entry,
    encode_entry,
    make_policy,
    replay,
)
from weft.runtime.scheduler.policies import WeftPolicy


@pytest.mark.parametrize("reason", ["ended", "cancelled", "disconnected"])
def test_a_program_that_ends_frees_all_at_once(reason: str) -> None:
    story = Story("weft")
    story.arrive(0.0, "a", 300, prefix="system", prefix_tokens=100)
    story.ask(0.0, "a2", 320, 20)
    assert story.decide(0.0)[0] == "run a1 on r"
    story.tell(ProgramEnded(1.0, "a", reason))  # type: ignore[arg-type]
    ledger = story.scheduler.ledger
    assert not ledger.calls and not ledger.programs and not ledger.tenants
    assert ledger.replicas["r"].used_tokens == ledger.replicas["r"].num_running == 0
    assert story.scheduler.num_waiting == 0


def test_a_cancelled_call_leaves_its_neighbours() -> None:
    story = Story("fcfs")
    story.arrive(0.0, "a", 300)
    story.ask(0.0, "a2", 310, 10)
    story.arrive(0.0, "b", 900)
    assert story.decide(0.0) == ["run a1 on r", "run a2 on r"]
    used = story.scheduler.ledger.replicas["r"].used_tokens
    story.tell(CallCancelled(1.0, "a2"), CallCancelled(1.0, "b1"))
    assert story.scheduler.ledger.replicas["r"].used_tokens == used - 20
    assert story.scheduler.num_waiting == 0


def test_branches_side_by_side_are_all_kept_until_one_goes_on_alone() -> None:
    story = Story("fcfs")
    story.arrive(0.0, "a", 300)
    story.decide(0.0)
    story.answer(1.0, "a1")
    story.ask(1.0, "a2", 320, 10)
    story.ask(1.0, "a3", 330, 20)
    story.decide(1.0)
    program = story.scheduler.ledger.programs["a"]
    assert program.private_tokens == 310 + 20 + 30
    story.answer(2.0, "a2")
    assert program.private_tokens == 310 + 20 + 30
    story.answer(3.0, "a3")
    assert program.private_tokens == 340


def test_outputs_beyond_expectation_push_idle_programs_out() -> None:
    story = Story(WeftPolicy(COSTS, headroom_share=0.03))
    story.arrive(0.0, "a", 300)
    story.arrive(0.0, "b", 600)
    story.decide(0.0)
    story.answer(1.0, "a1", tool="shell")
    assert story.decide(1.0) == []
    story.tell(CallGrew(2.0, "b1", 200))
    assert story.decide(2.0) == ["pause a"]


def test_a_call_that_no_replica_could_hold_is_refused_and_blocks_nobody() -> None:
    story = Story("weft")
    story.arrive(0.0, "a", 995)
    story.arrive(0.0, "b", 10)
    assert story.decide(0.0) == ["refuse a1", "run b1 on r"]
    assert story.decide(1.0) == []


def test_calls_of_a_lost_replica_run_elsewhere() -> None:
    story = Story("fcfs")
    story.arrive(0.0, "a", 300)
    story.decide(0.0)
    story.tell(ReplicaSized(1.0, "s", 1000), ReplicaLeft(1.0, "r"))
    assert story.decide(1.0) == ["run a1 on s"]


def test_a_budget_bounds_what_is_expected() -> None:
    story = Story("fcfs")
    story.arrive(0.0, "a", 300, budget_tokens=4)
    assert story.scheduler.ledger.calls["a1"].expected_output_tokens == 4


def test_a_program_returns_to_the_replica_that_holds_its_kv() -> None:
    story = Story("weft")
    story.tell(ReplicaSized(0.0, "s", 5000))
    story.arrive(0.0, "a", 300)
    assert story.decide(0.0) == ["run a1 on s"]
    story.arrive(0.0, "b", 300)
    assert story.decide(0.0) == ["run b1 on s"]
    story.answer(1.0, "b1", tool="shell")
    story.tool_returns(2.0, "b1", "shell")
    story.ask(2.0, "b2", 320, 10)
    assert story.decide(2.0) == ["run b2 on s"]


IMPOSSIBLE: list[OutsideFact] = [
    ProgramArrived(1.0, "a"),
    ProgramArrived(1.0, "x", prefix="system"),
    CallAsked(1.0, "nobody", "c", 10, 10, 1),
    CallAsked(1.0, "a", "a1", 10, 10, 1),
    CallAsked(1.0, "a", "c", 10, -1, 1),
    CallAsked(1.0, "a", "c", 10, 20, 1),
    CallAnswered(1.0, "b1", 10, 20),
    CallAnswered(1.0, "a1", 10, 2000),
    CallGrew(1.0, "nothing", 1),
    KvLost(1.0, "a"),
    ProgramEnded(1.0, "nobody"),
    ReplicaLeft(1.0, "nowhere"),
    ReplicaSized(1.0, "r", 0),
    CallCancelled(-1.0, "a1"),
]


@pytest.mark.parametrize("fact", IMPOSSIBLE, ids=repr)
def test_what_cannot_be_is_refused_and_changes_nothing(fact: OutsideFact) -> None:
    story = Story("weft", max_calls=1)
    story.arrive(0.0, "a", 300)
    story.arrive(0.0, "b", 300)
    assert story.decide(0.0) == ["run a1 on r"]
    with pytest.raises(InvalidRequest):
        story.scheduler.tell(fact)
    check_accounts(story.scheduler.ledger)
    story.answer(0.5, "a1")
    assert story.decide(0.5) == ["run b1 on r"]


def test_time_does_not_run_backwards() -> None:
    story = Story("weft")
    story.decide(1.0)
    with pytest.raises(InvalidRequest, match="monotonic"):
        story.scheduler.decide(0.5)


def test_costs_are_times() -> None:
    with pytest.raises(InvalidRequest, match="tick_s"):
        Costs(tick_s=-1.0)
    with pytest.raises(InvalidRequest, match="per Tick"):
        Costs(tokens_per_tick=0.5)
    assert Costs(prefill_s=1.0, context_s=0.0).restore_s(10, shared_tokens=4) == 6.0


def test_a_changed_log_does_not_replay() -> None:
    entries: list[Entry] = []
    scheduler = Scheduler(make_policy("weft", COSTS), record=entries.append)
    for fact in (
        ReplicaSized(0.0, "r", 1000),
        ProgramArrived(0.0, "a"),
        CallAsked(0.0, "a", "a1", 10, 10, 1, ("x", "y")),
    ):
        scheduler.tell(fact)
    scheduler.decide(0.0)
    assert [decode_entry(encode_entry(entry)) for entry in entries] == entries
    replay(entries, make_policy("weft", COSTS))
    entries[-1] = Decided(0.0, (Dispatch(0.0, "a", "a1", "s"),))
    with pytest.raises(ReplayMismatch, match="'s'.*'r'"):
        replay(entries, make_policy("weft", COSTS))
    entries[-1] = Decided(0.0, ())
    with pytest.raises(ReplayMismatch, match="0 decisions"):
        replay(entries, make_policy("weft", COSTS))


@pytest.mark.parametrize("line", ["", "[]", '["Nothing", 1]', '["CallGrew", 1]', "{}"])
def test_lines_that_no_log_holds_are_corrupt(line: str) -> None:
    with pytest.raises(JournalCorrupt):
        decode_entry(line)

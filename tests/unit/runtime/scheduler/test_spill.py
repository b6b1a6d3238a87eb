"""KV that is kept outside the pool: who goes there, who comes back, who leaves for good."""

from __future__ import annotations

import pytest

from tests.unit.runtime.scheduler.story import Story
from weft.runtime.scheduler import KvLost, ProgramEnded, ReplicaLeft, ReplicaSized, make_policy


def crowded(policy: str = "weft", *, spill: int) -> Story:
    """a and b are in tools that take a minute; c needs the room of one."""
    story = Story(policy, spill=spill)
    story.learn_tool("shell", *[60.0] * 4)
    story.arrive(0.0, "a", 400)
    story.arrive(0.0, "b", 300)
    assert story.decide(0.0) == ["run a1 on r", "run b1 on r"]
    story.answer(1.0, "a1", tool="shell")
    story.answer(1.0, "b1", tool="shell")
    story.arrive(1.0, "c", 400)
    return story


def test_kv_goes_to_the_second_tier_where_there_is_one_and_comes_back() -> None:
    story = crowded(spill=500)
    assert story.decide(1.0) == ["demote b", "run c1 on r"]
    replica = story.scheduler.ledger.replicas["r"]
    assert (replica.used_tokens, replica.spilled_tokens) == (410 + 410, 310)
    story.tell(ProgramEnded(2.0, "c"))
    story.tool_returns(2.0, "b1", "shell")
    story.ask(2.0, "b2", 320, 10)
    assert story.decide(2.0) == ["run b2 on r"]
    assert (replica.used_tokens, replica.spilled_tokens) == (410 + 330, 0)


@pytest.mark.parametrize(("policy", "spill"), [("fcfs", 500), ("weft", 0), ("weft", 250)])
def test_without_room_or_a_policy_for_it_nothing_is_demoted(policy: str, spill: int) -> None:
    decided = crowded(policy, spill=spill).decide(1.0)
    assert decided[-1] == "run c1 on r" and not any("demote" in one for one in decided)


def test_fcfs_offloads_what_was_used_longest_ago_if_it_is_told_to() -> None:
    story = Story(make_policy("fcfs", demotes=True), spill=500)
    for at_s, name in enumerate("abc"):
        story.arrive(float(at_s), name, 400)
        assert story.decide(float(at_s))[-1] == f"run {name}1 on r"
        story.answer(at_s + 0.5, f"{name}1", tool="shell")
    assert [
        name for name, one in story.scheduler.ledger.programs.items() if one.spilled_tokens
    ] == ["a"]
    story.arrive(3.0, "d", 400)
    assert story.decide(3.0) == ["evict a", "demote b", "run d1 on r"]


def test_what_was_demoted_is_given_up_for_what_is_worth_more() -> None:
    story = crowded(spill=500)
    assert story.decide(1.0) == ["demote b", "run c1 on r"]
    story.learn_tool("file", *[0.1] * 4)
    story.answer(2.0, "c1", tool="file")
    story.arrive(2.0, "d", 900)
    # c returns within a tenth of a second; a and b stay away for a minute.
    assert story.decide(2.0) == ["pause a", "evict b", "demote c", "run d1 on r"]


def test_an_end_frees_both_tiers_and_a_loss_too() -> None:
    story = crowded(spill=1000)
    story.decide(1.0)
    story.tell(KvLost(2.0, "b"))
    replica = story.scheduler.ledger.replicas["r"]
    assert replica.spilled_tokens == 0 and story.scheduler.ledger.programs["b"].anchor is None
    story = crowded(spill=1000)
    story.decide(1.0)
    story.tell(ProgramEnded(2.0, "a"), ProgramEnded(2.0, "b"), ProgramEnded(2.0, "c"))
    replica = story.scheduler.ledger.replicas["r"]
    assert (replica.used_tokens, replica.spilled_tokens) == (0, 0)


def test_a_replica_that_leaves_takes_its_second_tier_with_it() -> None:
    story = crowded(spill=500)
    story.decide(1.0)
    story.tell(ReplicaLeft(2.0, "r"), ReplicaSized(2.0, "s", 1000))
    assert story.scheduler.ledger.programs["b"].spilled_to is None
    story.tool_returns(3.0, "b1", "shell")
    story.ask(3.0, "b2", 320, 10)
    assert "run b2 on s" in story.decide(3.0)


def test_a_smaller_second_tier_gives_up_what_is_worth_least() -> None:
    story = crowded(spill=500)
    story.decide(1.0)
    story.tell(ReplicaSized(2.0, "r", 1000, 8, 100))
    assert story.decide(2.0) == ["evict b"]

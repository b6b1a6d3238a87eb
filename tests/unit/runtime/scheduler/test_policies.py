"""Golden decisions of every policy on small stories."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.runtime.scheduler.story import COSTS, Story
from weft.errors import InvalidRequest
from weft.runtime.scheduler import (
    CallGrew,
    ProgramEnded,
    SuccessorsKnown,
    ToolStarted,
    make_policy,
    policy_names,
)
from weft.runtime.scheduler.policies import (
    CapPolicy,
    LeastAttainedPolicy,
    PausePolicy,
    WeftPolicy,
)


def test_policies_are_found_by_name_and_unknown_names_get_the_nearest() -> None:
    assert policy_names() == (
        "cap",
        "deadline",
        "fcfs",
        "least-attained",
        "pause",
        "ttl",
        "weft",
    )
    assert make_policy().name == "weft"
    with pytest.raises(InvalidRequest, match="'least-attained'"):
        make_policy("least_attained")


class Touched(Exception):
    """Somebody looked at a cost."""


class Untouchable:
    def __getattr__(self, name: str) -> float:
        raise Touched(name)


@pytest.mark.parametrize("name", policy_names())
def test_policies_say_whether_costs_matter(name: str) -> None:
    policy = make_policy(name)
    policy.costs = Untouchable()  # type: ignore[assignment]
    story = Story(policy)
    touched = False
    try:
        story.learn_tool("shell", 0.5, 0.5, 0.5)
        story.arrive(0.0, "a", 400, deadline_s=60.0)
        story.arrive(0.0, "b", 400)
        story.decide(0.0)
        story.answer(1.0, "a1", tool="shell")
        story.arrive(1.0, "c", 400)
        story.decide(1.0)
    except Touched:
        touched = True
    assert touched == policy.uses_costs


@pytest.mark.parametrize("name", policy_names())
def test_larger_priorities_go_first_under_every_policy(name: str) -> None:
    story = Story(name, max_calls=1)
    story.arrive(0.0, "z", 10)
    assert story.decide(0.0) == ["run z1 on r"]
    for program, priority in (("a", -1), ("b", 0), ("c", 3)):
        story.arrive(1.0, program, 10, priority=priority)
    order: list[str] = []
    for now_s, call in ((5.0, "z1"), (10.0, "c1"), (15.0, "b1")):
        story.decide(now_s)
        story.answer(now_s, call)
        story.tell(ProgramEnded(now_s, call[0]))
        order += story.decide(now_s)
    assert order == ["run c1 on r", "run b1 on r", "run a1 on r"]


def test_fcfs_stops_at_the_first_that_does_not_fit_and_evicts_the_longest_unused() -> None:
    story = Story("fcfs")
    story.arrive(0.0, "a", 300)
    story.arrive(0.1, "b", 400)
    story.arrive(0.2, "c", 600)
    story.arrive(0.3, "d", 50)
    assert story.decide(0.3) == ["run a1 on r", "run b1 on r"]
    story.answer(1.0, "a1", tool="shell")
    assert story.decide(1.0) == []  # c needs 610 and finds 280 and a's 310
    story.answer(2.0, "b1", tool="shell")
    assert story.decide(2.0) == ["evict a", "evict b", "run c1 on r", "run d1 on r"]


def test_cap_lets_so_many_programs_in_until_they_end() -> None:
    story = Story(CapPolicy(COSTS, max_programs=1))
    story.arrive(0.0, "a", 100)
    story.arrive(0.0, "b", 100)
    assert story.decide(0.0) == ["run a1 on r"]
    story.answer(1.0, "a1", tool="shell")
    assert story.decide(1.0) == []
    story.tool_returns(2.0, "a1", "shell")
    story.ask(2.0, "a2", 120, 10)
    assert story.decide(2.0) == ["run a2 on r"]
    story.tell(ProgramEnded(3.0, "a", "disconnected"))
    assert story.decide(3.0) == ["run b1 on r"]


def ttl_story(away_s: float, *, tool: str = "shell") -> Story:
    """Programs came back from a shell after so long; a is in a tool since 1000 s, or about to say
    so; b runs; c needs a's room."""
    story = Story("ttl")
    story.arrive(0.0, "w", 10)
    assert story.decide(0.0) == ["run w1 on r"]
    for turn in range(1, 5):
        story.answer(turn * away_s, f"w{turn}", tool="shell")
        story.tool_returns((turn + 0.9) * away_s, f"w{turn}", "shell")
        story.ask((turn + 1) * away_s, f"w{turn + 1}", 20 + 10 * turn, 10)
        assert story.decide((turn + 1) * away_s) == [f"run w{turn + 1} on r"]
    story.tell(ProgramEnded(999.0, "w"))
    story.arrive(999.0, "a", 400)
    story.arrive(999.0, "b", 400)
    assert story.decide(999.0) == ["run a1 on r", "run b1 on r"]
    story.answer(1000.0, "a1", tool=tool)
    story.arrive(1000.0, "c", 400)
    return story


def test_ttl_pins_kv_as_long_as_the_tool_is_worth_it() -> None:
    story = ttl_story(0.5)
    assert story.decide(1000.0) == []
    assert 1000.5 <= story.scheduler.wake_s < 1000.6
    assert story.decide(1000.6) == ["evict a", "run c1 on r"]


def test_ttl_pins_kv_from_the_answer_on_before_the_program_says_which_tool_it_uses() -> None:
    story = ttl_story(0.5, tool="")
    assert story.decide(1000.0) == []
    story.tell(ToolStarted(1000.1, "a", "shell", "shell-a1"))
    assert story.decide(1000.1) == []
    assert 1000.5 <= story.scheduler.wake_s < 1000.6


def test_ttl_does_not_pin_for_a_tool_that_takes_longer_than_computing_anew() -> None:
    assert ttl_story(60.0).decide(1000.0) == ["evict a", "run c1 on r"]


def test_ttl_keeps_a_pin_that_ran_out_while_its_program_waits() -> None:
    story = ttl_story(0.5)
    assert story.decide(1000.0) == []
    story.tool_returns(1000.2, "a1", "shell")
    story.ask(1000.2, "a2", 420, 10)
    assert story.decide(1000.7) == ["run a2 on r"]


def test_pause_holds_newcomers_and_resumes_them_in_a_sweep() -> None:
    story = Story(PausePolicy(COSTS))
    story.arrive(0.0, "a", 500)
    assert story.decide(0.0) == ["run a1 on r"]
    story.arrive(0.0, "b", 700)
    story.arrive(0.0, "c", 200)
    assert story.decide(0.0) == []
    assert story.scheduler.wake_s == 5.0
    assert story.decide(4.9) == []
    assert story.decide(5.0) == ["run c1 on r"]  # the smallest first: 200 + 100 beside 500 + 100
    story.tell(ProgramEnded(6.0, "a"), ProgramEnded(6.0, "c"))
    assert story.decide(9.9) == []
    assert story.decide(10.0) == ["run b1 on r"]


def test_pause_takes_the_smallest_that_acts_when_programs_outgrow_the_replica() -> None:
    story = Story(PausePolicy(COSTS))
    story.arrive(0.0, "a", 300)
    story.arrive(0.0, "b", 350)
    assert story.decide(0.0) == ["run a1 on r", "run b1 on r"]
    story.answer(1.0, "a1", tool="shell")
    story.answer(1.0, "b1", tool="shell")
    story.tool_returns(2.0, "b1", "shell")
    story.ask(2.0, "b2", 660, 300)
    assert story.decide(5.0) == ["pause a", "run b2 on r"]


def test_least_attained_puts_programs_that_had_little_first_until_the_others_aged() -> None:
    story = Story(LeastAttainedPolicy(COSTS, of="program"), max_calls=1)
    story.arrive(0.0, "a", 10)
    assert story.decide(0.0) == ["run a1 on r"]
    story.answer(3.0, "a1")
    story.arrive(3.0, "z", 10)
    assert story.decide(3.0) == ["run z1 on r"]
    story.ask(3.0, "a2", 30, 10)
    story.arrive(4.0, "b", 10)
    story.answer(5.0, "z1")
    assert story.decide(5.0) == ["run b1 on r"]
    story.answer(6.0, "b1")
    story.arrive(6.0, "c", 10)
    # Three seconds of service, times eight, after 3.0: a is promoted at 27.
    assert story.scheduler.wake_s == 27.0
    assert story.decide(27.0) == ["run a2 on r"]


def test_deadline_runs_the_most_urgent_first() -> None:
    story = Story("deadline", max_calls=1)
    story.arrive(0.0, "a", 100)
    story.arrive(0.0, "b", 100, deadline_s=50.0)
    story.arrive(0.0, "c", 100, deadline_s=50.0)
    story.tell(SuccessorsKnown(0.0, "c", 10, 40.0))
    assert story.decide(0.0) == ["run c1 on r"]
    story.answer(1.0, "c1")
    assert story.decide(1.0) == ["run b1 on r"]
    story.answer(2.0, "b1")
    assert story.decide(2.0) == ["run a1 on r"]


def filling_weft(*, patience_s: float = 30.0) -> WeftPolicy:
    """Leaves little room for growth, so that small stories fill their replica."""
    return WeftPolicy(COSTS, patience_s=patience_s, restoring_share=0.1, headroom_share=0.03)


def weft_story(*, tool_s: float) -> Story:
    """a is in a tool; b is served; c needs a's room."""
    story = Story(filling_weft())
    story.learn_tool("shell", *[tool_s] * 4)
    story.arrive(0.0, "a", 400)
    story.arrive(0.0, "b", 400)
    assert story.decide(0.0) == ["run a1 on r", "run b1 on r"]
    story.answer(1.0, "a1", tool="shell")
    story.arrive(1.0, "c", 400)
    return story


def test_weft_pauses_who_stays_away_longer_than_its_kv_is_worth() -> None:
    assert weft_story(tool_s=60.0).decide(1.0) == ["pause a", "run c1 on r"]


def test_weft_keeps_the_kv_of_a_tool_that_returns_soon_and_lets_small_calls_pass() -> None:
    story = weft_story(tool_s=0.2)
    story.arrive(1.0, "d", 50)
    assert story.decide(1.0) == ["run d1 on r"]
    story.tool_returns(1.2, "a1", "shell")
    story.ask(1.2, "a2", 420, 10)
    assert story.decide(1.2) == ["run a2 on r"]


def test_weft_keeps_room_for_who_has_lost_patience() -> None:
    story = Story(filling_weft(patience_s=5.0))
    story.arrive(0.0, "a", 600)
    assert story.decide(0.0) == ["run a1 on r"]
    story.arrive(0.5, "b", 600)
    story.arrive(1.0, "c", 100)
    assert story.decide(1.0) == ["run c1 on r"]
    assert story.scheduler.wake_s == 5.5
    assert story.decide(5.5) == []
    story.arrive(6.0, "d", 100)
    assert story.decide(6.0) == []
    story.answer(7.0, "a1", tool="shell")
    assert story.decide(7.0) == ["pause a", "run b1 on r", "run d1 on r"]


def test_weft_never_idles_an_engine_for_predictions() -> None:
    story = weft_story(tool_s=0.2)
    story.answer(1.0, "b1", tool="shell")
    assert story.decide(1.0)[-1] == "run c1 on r"


def test_weft_lets_one_call_warm_a_shared_prefix() -> None:
    story = Story("weft", capacity=2000)
    for program in "abc":
        story.arrive(0.0, program, 500, prefix="system", prefix_tokens=400)
    assert story.decide(0.0) == ["run a1 on r"]
    story.tell(CallGrew(0.5, "a1", 0))
    assert story.decide(0.5) == ["run b1 on r", "run c1 on r"]
    replica = story.scheduler.ledger.replicas["r"]
    assert replica.used_tokens == 400 + 3 * 110
    assert story.scheduler.ledger.programs["a"].footprint_tokens == 110 + 400 / 3


def test_weft_gives_up_first_who_has_no_more_to_do() -> None:
    story = Story("weft")
    story.learn_tool("shell", 60.0)
    for program in "ab":
        story.arrive(0.0, program, 300)
    assert story.decide(0.0) == ["run a1 on r", "run b1 on r"]
    story.answer(1.0, "a1", tool="shell")
    story.answer(1.0, "b1")
    story.tell(SuccessorsKnown(1.0, "b", 0, 0.0))
    assert list(story.scheduler.eviction_order("r")) == ["b", "a"]
    story.arrive(1.0, "c", 500)
    assert story.decide(1.0) == ["pause b", "run c1 on r"]


def test_weft_leaves_room_for_those_inside_to_grow_and_less_where_kv_can_be_kept_outside() -> None:
    for spill, expected in ((0, []), (5000, ["run b1 on r"])):
        story = Story("weft", spill=spill)
        story.arrive(0.0, "a", 500)
        story.arrive(0.0, "b", 400)
        assert story.decide(0.0) == ["run a1 on r", *expected]


@pytest.mark.parametrize(
    ("newcomers", "expected"),
    [("b", ["run b1 on r"]), ("bc", ["run b1 on r", "run c1 on r"]), ("bcd", [])],
)
def test_weft_leaves_the_less_room_the_fewer_wait_to_come_in(
    newcomers: str, expected: list[str]
) -> None:
    story = Story("weft")
    story.arrive(0.0, "a", 910)
    assert story.decide(0.0) == ["run a1 on r"]
    for program in newcomers:
        story.arrive(0.5, program, 5)
    assert story.decide(0.5) == expected


def growing_story(*, waits: str) -> Story:
    """a, b and c hold all; then two of them ask, ``waits`` first, and both need more room."""
    story = Story(WeftPolicy(COSTS, headroom_share=0.0))
    for program in "abc":
        story.arrive(0.0, program, 320)
    assert story.decide(0.0) == ["run a1 on r", "run b1 on r", "run c1 on r"]
    story.answer(1.0, "a1")
    story.answer(1.0, "b1")
    other = "b" if waits == "a" else "a"
    story.ask(1.1, f"{waits}2", 360, 30)
    story.ask(1.2, f"{other}2", 360, 30)
    return story


@pytest.mark.parametrize(("first", "last"), ["ab", "ba"])
def test_weft_gives_who_is_inside_the_room_of_who_waits_behind(first: str, last: str) -> None:
    """Else all are inside, and each waits for the others' room."""
    assert growing_story(waits=first).decide(1.2) == [f"pause {last}", f"run {first}2 on r"]


@pytest.mark.parametrize(
    ("spill", "verb", "expected"), [(1000, "demote", ["prefetch a on r"]), (0, "pause", [])]
)
def test_weft_reads_back_before_a_tool_returns_and_computes_nothing_ahead(
    spill: int, verb: str, expected: list[str]
) -> None:
    story = Story(WeftPolicy(replace(COSTS, load_s=1e-3), headroom_share=0.0), spill=spill)
    story.learn_tool("shell", *[8.0] * 4)
    story.arrive(0.0, "a", 400)
    story.arrive(0.0, "b", 400)
    assert story.decide(0.0) == ["run a1 on r", "run b1 on r"]
    story.answer(1.0, "a1", tool="shell")
    story.arrive(1.0, "c", 400)
    assert story.decide(1.0) == [f"{verb} a", "run c1 on r"]
    story.tell(ProgramEnded(2.0, "c"), ProgramEnded(2.0, "b"))
    assert story.decide(2.0) == []
    if spill:
        assert 8.0 < story.scheduler.wake_s < 8.5
    assert story.decide(8.5) == expected


def test_weft_shares_among_tenants() -> None:
    story = Story("weft", capacity=100_000, max_calls=1)
    story.arrive(0.0, "z", 10, tenant="other")
    assert story.decide(0.0) == ["run z1 on r"]
    for program in "abcd":
        story.arrive(0.0, program, 4000, tenant="greedy")
    story.arrive(1.0, "e", 4000, tenant="modest")
    order: list[str] = []
    for now_s, call in enumerate(["z1", "a1", "e1", "b1", "c1"], start=2):
        story.answer(float(now_s), call)
        order += story.decide(float(now_s))
    assert order == [f"run {call} on r" for call in ["a1", "e1", "b1", "c1", "d1"]]


def test_weft_sends_who_is_too_late_behind_all_and_lets_who_has_much_time_wait() -> None:
    story = Story("weft", max_calls=1)
    story.arrive(0.0, "z", 10)
    assert story.decide(0.0) == ["run z1 on r"]
    story.arrive(0.0, "a", 10, deadline_s=205.0)
    story.arrive(0.0, "b", 10, deadline_s=1000.0)
    story.arrive(100.0, "c", 10)
    story.arrive(100.0, "d", 10, deadline_s=240.0)
    order: list[str] = []
    for now_s, call in enumerate(["z1", "d1", "c1", "b1"], start=210):
        story.answer(float(now_s), call)
        order += story.decide(float(now_s))
    assert order == ["run d1 on r", "run c1 on r", "run b1 on r", "run a1 on r"]


def test_weft_puts_a_deadline_that_can_be_met_first_and_a_lost_one_not() -> None:
    story = Story("weft", max_calls=1)
    story.arrive(0.0, "z", 10)
    assert story.decide(0.0) == ["run z1 on r"]
    story.arrive(1.0, "a", 10)
    story.arrive(2.0, "b", 10, deadline_s=20.0)
    story.arrive(2.0, "c", 10, deadline_s=2.0)
    order: list[str] = []
    for now_s, call in enumerate(["z1", "b1", "a1"], start=3):
        story.answer(float(now_s), call)
        order += story.decide(float(now_s))
    assert order == ["run b1 on r", "run a1 on r", "run c1 on r"]


def test_weft_goes_on_with_a_program_that_it_began_before_its_deadline() -> None:
    """By what is left alone it came after those that had not begun, and all missed together."""
    story = Story("weft", max_calls=1)
    story.arrive(0.0, "a", 10, deadline_s=400.0)
    story.arrive(0.0, "b", 10, deadline_s=410.0)
    story.tell(SuccessorsKnown(0.0, "a", 2, 200.0), SuccessorsKnown(0.0, "b", 2, 200.0))
    assert story.decide(0.0) == ["run a1 on r"]
    story.answer(100.0, "a1")
    story.tell(SuccessorsKnown(100.0, "a", 1, 100.0))
    story.ask(100.0, "a2", 30, 10)
    assert story.decide(100.0) == ["run a2 on r"]


def test_weft_ends_one_late_program_after_the_other_and_not_all_in_turns() -> None:
    story = Story("weft", max_calls=1)
    story.arrive(0.0, "a", 10, deadline_s=10.0)
    story.arrive(0.0, "b", 10, deadline_s=10.0)
    assert story.decide(0.0) == ["run a1 on r"]
    story.answer(20.0, "a1")
    assert story.decide(20.0) == ["run b1 on r"]
    story.answer(30.0, "b1")
    story.arrive(30.0, "z", 10)
    assert story.decide(30.0) == ["run z1 on r"]
    for now_s, program, left_s in ((40.0, "a", 100.0), (50.0, "b", 20.0)):
        story.tell(SuccessorsKnown(now_s, program, 1, left_s))
        story.ask(now_s, f"{program}2", 30, 10)
    story.answer(60.0, "z1")
    assert story.decide(60.0) == ["run b2 on r"]
    story.answer(70.0, "b2")
    assert story.decide(70.0) == ["run a2 on r"]


@pytest.mark.parametrize(("spill", "verb", "dear"), [(0, "pause", 1), (5000, "demote", 5)])
def test_weft_pays_for_a_restore_when_it_gives_kv_up(spill: int, verb: str, dear: int) -> None:
    """Else a second call that lost patience broke in on the credit of the first. For what is moved
    out it pays a fifth of the cost."""
    costs = replace(COSTS, prefill_s=dear * COSTS.prefill_s, spill_s=2.4e-3, load_s=2.4e-3)
    policy = WeftPolicy(costs, patience_s=5.0, restoring_share=0.1, headroom_share=0.03)
    story = Story(policy, capacity=900, spill=spill)
    story.learn_tool("shell", 0.5, 0.5, 0.5, 0.5)
    for program in "ab":
        story.arrive(0.0, program, 400)
    assert story.decide(0.0) == ["run a1 on r", "run b1 on r"]
    story.answer(1.0, "a1", tool="shell")
    for program in "cd":
        story.arrive(1.0, program, 400)
    assert story.decide(1.0) == []
    assert story.decide(7.0) == [f"{verb} a", "run c1 on r"]
    story.answer(7.1, "c1", tool="shell")
    assert story.decide(7.1) == []
    assert story.decide(12.0) == [f"{verb} c", "run d1 on r"]

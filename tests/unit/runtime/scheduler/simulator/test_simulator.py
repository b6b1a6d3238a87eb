"""The simulator against times worked out by hand, and on a drawn workload."""

from __future__ import annotations

from dataclasses import replace

import pytest

from weft.errors import InvalidRequest
from weft.runtime.scheduler import Costs, ReplicaSized, Scheduler, make_policy
from weft.runtime.scheduler.simulator import (
    AgentWorkload,
    Report,
    Script,
    ScriptStep,
    jain_index,
    simulate,
)

COSTS = Costs(tick_s=1.0, decode_s=0.5, prefill_s=0.1, context_s=0.0)


def script(program: str, *steps: ScriptStep) -> Script:
    return Script(program=program, arrives_s=0.0, steps=steps)


def test_one_program_takes_prompt_ticks_and_tool() -> None:
    alone = script("a", ScriptStep(20, 4, "shell", 3.0), ScriptStep(10, 2))
    report = simulate(Scheduler(make_policy("weft", COSTS)), [alone], [ReplicaSized(0.0, "r", 100)])
    # 20 * 0.1 + 4 * 1.5, then 3, then 10 * 0.1 + 2 * 1.5: of 34 tokens, 24 are held.
    assert report.seconds == pytest.approx(8.0 + 3.0 + 4.0)
    assert report.busy == pytest.approx(12 / 15)
    assert report.hit_rate == 24 / 54 and report.recomputed_tokens == 0


def test_two_programs_decode_together() -> None:
    both = [script(name, ScriptStep(10, 4)) for name in "ab"]
    report = simulate(Scheduler(make_policy("fcfs", COSTS)), both, [ReplicaSized(0.0, "r", 100)])
    assert report.seconds == pytest.approx(2 * 1.0 + 4 * 2.0)
    assert report.num_ended == 2 and report.in_deadline == 1.0


@pytest.mark.parametrize(("tenants", "held"), [("xx", 40), ("xy", 0)])
def test_a_prefix_is_shared_inside_a_tenant_alone(tenants: str, held: int) -> None:
    scripts = [
        Script(
            program=tenant + str(number),
            arrives_s=float(number),
            steps=(ScriptStep(10, 90),),
            tenant=tenant,
            prefix="system",
            prefix_tokens=40,
        )
        for number, tenant in enumerate(tenants)
    ]
    # In 240 tokens two fit only if they share the prefix; else the second waits.
    replica = ReplicaSized(0.0, "r", 240)
    report = simulate(Scheduler(make_policy("fcfs", COSTS)), scripts, [replica])
    assert report.hit_rate == held / 100
    assert (report.worst_wait_s > 100.0) == (not held)


def test_what_was_given_up_is_computed_again() -> None:
    first = script("a", ScriptStep(60, 5, "shell", 60.0), ScriptStep(5, 5))
    second = script("b", ScriptStep(70, 5))
    report = simulate(
        Scheduler(make_policy("fcfs", COSTS)), [first, second], [ReplicaSized(0.0, "r", 100)]
    )
    assert report.recomputed_tokens == 65


def test_what_was_demoted_is_read_back() -> None:
    costs = Costs(tick_s=1.0, decode_s=0.5, prefill_s=0.1, context_s=0.0, spill_s=0.01, load_s=0.02)
    first = script("a", ScriptStep(60, 5, "shell", 60.0), ScriptStep(5, 5))
    second = script("b", ScriptStep(70, 5))
    report = simulate(
        Scheduler(make_policy("weft", costs)),
        [first, second],
        [ReplicaSized(0.0, "r", 100, 256, 100)],
    )
    assert (report.recomputed_tokens, report.loaded_tokens) == (0, 65)
    # a: 6 + 7.5, then 60 in its tool, 65 * 0.02 to read back, 0.5 for its prompt, 7.5.
    assert report.seconds == pytest.approx(13.5 + 60.0 + 1.3 + 0.5 + 7.5)


def test_what_was_demoted_is_read_back_with_a_prefix_that_nobody_holds() -> None:
    costs = replace(COSTS, spill_s=0.01, load_s=0.02)
    first = script("a", ScriptStep(40, 5, "shell", 60.0), ScriptStep(5, 5))
    second = script("b", ScriptStep(70, 5))
    report = simulate(
        Scheduler(make_policy("weft", costs)),
        [replace(first, prefix="system", prefix_tokens=20), second],
        [ReplicaSized(0.0, "r", 100, 256, 100)],
    )
    assert (report.recomputed_tokens, report.loaded_tokens) == (0, 65)
    assert report.seconds == pytest.approx(13.5 + 60.0 + 1.3 + 0.5 + 7.5)


def test_so_many_programs_are_open_at_once_and_the_last_arrival_ends_it() -> None:
    scripts = [script(name, ScriptStep(10, 4)) for name in "abcd"]
    report = simulate(
        Scheduler(make_policy("fcfs", COSTS)),
        scripts,
        [ReplicaSized(0.0, "r", 100, 1)],
        concurrency=1,
    )
    # Each takes 1 + 4 * 1.5; d arrives as c ends, and what a took is not counted.
    assert report.seconds == pytest.approx(2 * 7.0) and report.num_ended == 3
    assert report.steps_per_minute == pytest.approx(60 / 7.0)
    with pytest.raises(InvalidRequest, match="at once"):
        simulate(Scheduler(make_policy("fcfs")), scripts, [], concurrency=0)


def test_each_is_followed_by_the_next_of_its_tenant_till_one_has_no_more() -> None:
    scripts = [
        replace(script(name, ScriptStep(10, 4)), tenant=name[0])
        for name in ("x0", "y0", "y1", "x1", "y2", "x2", "y3", "y4", "y5")
    ]
    report = simulate(
        Scheduler(make_policy("fcfs", COSTS)),
        scripts,
        [ReplicaSized(0.0, "r", 100)],
        concurrency=2,
        since_s=0.0,
    )
    # Two prompts of 1 s, then four Ticks of 2 s; as the second two end, x2 comes: x has no more.
    assert report.num_ended == 4 and report.seconds == pytest.approx(2 * 10.0)


def test_guesses_that_come_true_save_ticks() -> None:
    """A prompt of 1 s, then 4 tokens in two Ticks of 1.5 s; a policy counts them alike."""
    costs = replace(COSTS, tokens_per_tick=2.0)
    report = simulate(
        Scheduler(make_policy("fcfs", costs)),
        [script("a", ScriptStep(10, 4))],
        [ReplicaSized(0.0, "r", 100, 1)],
    )
    assert report.seconds == pytest.approx(1 + 4 / 2 * 1.5)
    call_s = costs.call_s(new_tokens=10, context_tokens=10, output_tokens=4)
    assert call_s == pytest.approx(report.seconds, rel=1e-6)
    late = Scheduler(make_policy("fcfs", replace(costs, start_ticks=2.0)))
    report = simulate(late, [script("a", ScriptStep(10, 4))], [ReplicaSized(0.0, "r", 100, 1)])
    assert report.seconds == pytest.approx(1 + (2 + 4 / 2) * 1.5)


def test_a_span_of_time_is_reported_alone() -> None:
    """Each call takes 1 + 4 * 1.5 s: two of them end between 10 and 22 s."""
    scripts = [script(name, ScriptStep(10, 4)) for name in "abcdef"]
    replicas = [ReplicaSized(0.0, "r", 100, 1)]

    def over(since_s: float, until_s: float) -> Report:
        scheduler = Scheduler(make_policy("fcfs", COSTS))
        return simulate(
            scheduler, scripts, replicas, concurrency=1, since_s=since_s, until_s=until_s
        )

    report = over(10.0, 22.0)
    assert report.seconds == 12.0
    assert report.steps_per_minute == pytest.approx(2 * 60 / 12.0)
    assert over(0.0, 6.9).steps_per_minute == 0.0
    for since_s, until_s in ((5.0, 5.0), (-1.0, 5.0), (float("nan"), 5.0)):
        with pytest.raises(InvalidRequest, match="report of the time from"):
            over(since_s, until_s)


def test_workloads_are_drawn_from_their_seed() -> None:
    workload = AgentWorkload(num_programs=20, programs_per_s=2.0)
    assert workload.draw(1) == workload.draw(1) != workload.draw(2)


def test_jain_is_one_for_equals_and_one_nth_for_one() -> None:
    assert jain_index([3.0, 3.0]) == 1.0 == jain_index([])
    assert jain_index([1.0, 0.0, 0.0, 0.0]) == 0.25


def test_a_program_without_steps_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="no steps"):
        script("a")


@pytest.mark.slow
def test_weft_recomputes_less_than_fcfs_where_memory_is_short() -> None:
    scripts = AgentWorkload(num_programs=60, programs_per_s=4.0, scale=0.1).draw(3)
    replicas = [ReplicaSized(0.0, "r", 20_000, 64)]
    fcfs, weft = (
        simulate(Scheduler(make_policy(name)), scripts, replicas) for name in ("fcfs", "weft")
    )
    assert weft.recomputed_tokens < fcfs.recomputed_tokens
    assert weft.steps_per_minute > fcfs.steps_per_minute

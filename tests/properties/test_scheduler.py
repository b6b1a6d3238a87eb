"""What holds for every policy and mix of programs."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings

from tests.properties.naive_ledger import recompute
from tests.properties.scheduler_strategies import drawn_mix, mixes, replica_sets
from tests.support.accounts import check_accounts
from weft.runtime.scheduler import (
    Decided,
    Decision,
    Entry,
    ReplicaSized,
    Scheduler,
    SchedulingPolicy,
    decode_entry,
    encode_entry,
    make_policy,
    policy_names,
    replay,
)
from weft.runtime.scheduler.decisions import Fact
from weft.runtime.scheduler.ledger import Ledger
from weft.runtime.scheduler.simulator import Report, Script, simulate

BUSY = [name for name in policy_names() if make_policy(name).keeps_busy]


class WatchedScheduler(Scheduler):
    """Checks after every decision what must hold at any time."""

    def __init__(self, policy: SchedulingPolicy) -> None:
        self.entries: list[Entry] = []
        super().__init__(policy, record=self.entries.append)

    def decide(self, now_s: float) -> Sequence[Decision]:
        decisions = super().decide(now_s)
        check_accounts(self.ledger)
        for replica in self.ledger.replicas.values():
            assert replica.used_tokens <= replica.capacity_tokens
            assert replica.spilled_tokens <= replica.spill_capacity_tokens
            assert replica.num_running <= replica.max_calls
        if self.policy.keeps_busy:
            self.assert_no_engine_idles()
        return decisions

    def assert_no_engine_idles(self) -> None:
        """Where nothing runs, idle programs can go, so whatever is free to move there fits."""
        for replica in self.ledger.replicas.values():
            for call in self.ledger.calls.values():
                is_free = call.replica is None and not call.program.running
                if is_free and call.size_tokens <= replica.capacity_tokens:
                    assert replica.num_running, (call.call, replica.replica)

    @property
    def facts(self) -> list[Fact]:
        facts: list[Fact] = []
        for entry in self.entries:
            facts.extend(entry.decisions if isinstance(entry, Decided) else [entry])
        return facts


def run(name: str, mix: list[Script], replicas: list[ReplicaSized]) -> WatchedScheduler:
    scheduler = WatchedScheduler(make_policy(name))
    report: Report = simulate(scheduler, mix, replicas)
    assert report.num_ended == len(mix)
    assert_nothing_is_held(scheduler.ledger)
    assert scheduler.num_waiting == 0
    return scheduler


def assert_nothing_is_held(ledger: Ledger) -> None:
    assert not ledger.programs and not ledger.calls
    for replica in ledger.replicas.values():
        assert (replica.used_tokens, replica.spilled_tokens, replica.num_running) == (0, 0, 0)
        assert not replica.residents and not replica.idle and not replica.prefixes


@pytest.mark.slow
@pytest.mark.parametrize("name", policy_names())
@given(mix=mixes(), replicas=replica_sets())
@settings(max_examples=60, deadline=None)
def test_every_program_ends_and_no_capacity_is_exceeded(
    name: str, mix: list[Script], replicas: list[ReplicaSized]
) -> None:
    run(name, mix, replicas)


@pytest.mark.slow
@pytest.mark.parametrize("name", policy_names())
@given(mix=mixes(), replicas=replica_sets())
@settings(max_examples=20, deadline=None)
def test_a_log_replays_to_the_same_decisions(
    name: str, mix: list[Script], replicas: list[ReplicaSized]
) -> None:
    entries = run(name, mix, replicas).entries
    read = [decode_entry(encode_entry(entry)) for entry in entries]
    assert read == entries
    again = replay(read, make_policy(name))
    assert_nothing_is_held(again.ledger)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fcfs", "weft"])
@given(mix=mixes(max_programs=4), replicas=replica_sets())
@settings(max_examples=20, deadline=None)
def test_running_sums_equal_those_of_all_facts(
    name: str, mix: list[Script], replicas: list[ReplicaSized]
) -> None:
    facts = run(name, mix, replicas).facts
    ledger = Ledger()
    for number, fact in enumerate(facts, start=1):
        ledger.tell(fact)
        sums = recompute(facts[:number])
        assert sums.used == {name: one.used_tokens for name, one in ledger.replicas.items()}
        assert sums.spilled == {name: one.spilled_tokens for name, one in ledger.replicas.items()}
        for replica, calls in sums.running.items():
            residents = ledger.replicas[replica].residents.values()
            assert calls == {call for one in residents for call in one.running}
        waiting = {one.call for one in ledger.calls.values() if one.replica is None}
        assert sums.waiting == waiting


@pytest.mark.slow
@given(mix=mixes(), replicas=replica_sets())
@settings(max_examples=60, deadline=None)
def test_waiting_is_bounded_by_what_the_others_need(
    mix: list[Script], replicas: list[ReplicaSized]
) -> None:
    """No call waits longer than its patience and all that the programs could do one by one."""
    policy = make_policy("weft")
    assert_waits_are_bounded(simulate(Scheduler(policy), mix, replicas), mix, policy)


def assert_waits_are_bounded(report: Report, mix: list[Script], policy: SchedulingPolicy) -> None:
    work_s = sum(_alone_s(script, policy) for script in mix)
    assert report.worst_wait_s <= 8 * policy.patience_s + work_s


def check_mixes(seeds: range) -> None:
    """All that must hold of weft, on drawn mixes."""
    for seed in seeds:
        mix, replicas = drawn_mix(Random(seed))
        policy = make_policy("weft")
        scheduler = WatchedScheduler(policy)
        report = simulate(scheduler, mix, replicas)
        assert report.num_ended == len(mix), seed
        assert_waits_are_bounded(report, mix, policy)
        assert_nothing_is_held(scheduler.ledger)


def test_twenty_drawn_mixes_keep_every_promise() -> None:
    check_mixes(range(20))


@pytest.mark.slow
@pytest.mark.parametrize("thousand", range(10))
def test_ten_thousand_drawn_mixes_keep_every_promise(thousand: int) -> None:
    check_mixes(range(1000 * thousand, 1000 * (thousand + 1)))


def _alone_s(script: Script, policy: SchedulingPolicy) -> float:
    """A program on its own, its context computed anew for every call."""
    context, seconds = script.prefix_tokens, 0.0
    for step in script.steps:
        context += step.new_tokens
        seconds += step.tool_s + policy.costs.call_s(
            new_tokens=context, context_tokens=context, output_tokens=step.output_tokens
        )
        context += step.output_tokens
    return seconds


def test_the_properties_see_policies_that_keep_engines_busy() -> None:
    assert BUSY == ["deadline", "fcfs", "least-attained", "ttl", "weft"]

"""The longest chain of open Steps, by hand and against a naive search."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import pytest

from weft.runtime.dispatch.profiles import Left
from weft.runtime.dispatch.successors import MAX_STEPS, Successors
from weft.runtime.observe import StepEvent
from weft.runtime.observe.event import StepKind, StepPhase

GEN_S = 2.0
TOOLS_S = {"short": 0.5, "long": 10.0}


def event(
    lineage: str,
    *inputs: str,
    kind: StepKind = "gen",
    name: str = "",
    parent: str = "root",
    phase: StepPhase = "submitted",
) -> StepEvent:
    return StepEvent(
        run_id="run",
        seq=1,
        time_s=0.0,
        lineage=lineage,
        name=name,
        kind=kind,
        phase=phase,
        parent=parent,
        inputs=inputs,
    )


def heard(*events: StepEvent) -> Successors:
    successors = Successors()
    for one in events:
        successors.heard(one)
    return successors


def path(successors: Successors) -> Left:
    return successors.path(GEN_S, TOOLS_S.__getitem__)


def test_a_chain_is_as_long_as_its_steps_and_shrinks_as_they_end() -> None:
    successors = heard(
        event("root", kind="program", parent=""),
        event("a"),
        event("b", "a", kind="tool", name="long"),
        event("c", "b"),
        event("lone"),
    )
    assert path(successors) == Left(2, 14.0)
    successors.heard(event("a", phase="finished"))
    assert path(successors) == Left(1, 12.0)
    successors.heard(event("b", kind="tool", name="long", phase="failed"))
    assert path(successors) == Left(1, 2.0)
    for name in ("c", "lone", "root"):
        successors.heard(event(name, phase="cancelled"))
    assert path(successors) == Left(0, 0.0)


def test_of_two_ways_the_one_that_takes_longer_counts_whatever_its_steps() -> None:
    successors = heard(
        event("a"),
        event("b", "a"),
        event("tool", kind="tool", name="long"),
        event("join", "b", "tool"),
    )
    assert path(successors) == Left(1, 12.0)


def test_who_waits_for_a_program_waits_for_all_within_it() -> None:
    successors = heard(
        event("sub", kind="program"),
        event("after", "sub"),
        event("sub/a", parent="sub"),
        event("sub/b", "sub/a", parent="sub"),
    )
    assert path(successors) == Left(3, 6.0)
    successors.heard(event("sub/a", parent="sub", phase="finished"))
    assert path(successors) == Left(2, 4.0)
    successors.heard(event("sub", kind="program", phase="finished"))
    assert path(successors) == Left(1, 2.0)


def test_a_step_that_waits_for_itself_does_not_hang_the_scheduler() -> None:
    assert path(heard(event("sub", "sub/a", kind="program"), event("sub/a", "sub", parent="sub")))


def test_nothing_is_said_of_more_steps_than_can_be_looked_at() -> None:
    chain = [event("0"), *(event(str(at), str(at - 1)) for at in range(1, MAX_STEPS))]
    assert path(heard(*chain)) == Left(MAX_STEPS, MAX_STEPS * GEN_S)
    assert path(heard(*chain, event("more"))) == Left(0, 0.0)


@pytest.mark.parametrize("seed", range(20))
def test_random_graphs_against_all_chains_written_out(seed: int) -> None:
    rng = random.Random(seed)
    inputs: dict[str, Sequence[str]] = {}
    for number in range(12):
        inputs[str(number)] = rng.sample(sorted(inputs), k=rng.randint(0, min(3, len(inputs))))
    ended = {name for name in inputs if rng.random() < 0.3}
    successors = heard(*(event(name, *before) for name, before in inputs.items()))
    for name in ended:
        successors.heard(event(name, phase="finished"))
    longest = max((_longest(name, inputs, ended) for name in inputs), default=0)
    assert path(successors) == Left(longest, longest * GEN_S)


def _longest(name: str, inputs: Mapping[str, Sequence[str]], ended: set[str]) -> int:
    if name in ended:
        return 0
    return 1 + max((_longest(one, inputs, ended) for one in inputs[name]), default=0)

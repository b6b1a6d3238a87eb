"""Calls of one reply, planned: nobody can see that they did not run one after the other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from weft.tools import BatchCall, Effect, plan_batch

EFFECTS: tuple[Effect, ...] = ("pure", "read", "write")


@given(st.lists(st.sampled_from(EFFECTS), max_size=20))
def test_nobody_sees_another_order(effects: list[Effect]) -> None:
    calls = {at: BatchCall("tool", effect, {"at": at}) for at, effect in enumerate(effects)}
    plan = plan_batch(calls)
    wave_of = {number: at for at, wave in enumerate(plan.waves) for number in wave}
    assert sorted([*plan.free, *wave_of]) == list(range(len(effects)))
    assert all(effects[number] == "pure" for number in plan.free)
    for first in wave_of:
        for second in wave_of:
            if first < second and "write" in (effects[first], effects[second]):
                assert wave_of[first] < wave_of[second]

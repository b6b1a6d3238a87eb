"""When the calls of one reply run."""

from __future__ import annotations

import pytest

from weft.tools import BatchCall, BatchPlan, Effect, plan_batch


def batch(effects: str) -> dict[int, BatchCall]:
    """One call per letter, all different."""
    names: dict[str, Effect] = {"p": "pure", "r": "read", "w": "write"}
    return {at: BatchCall("tool", names[one], {"at": at}) for at, one in enumerate(effects)}


@pytest.mark.parametrize(
    ("effects", "free", "waves"),
    [
        ("", (), ()),
        ("rrr", (), ((0, 1, 2),)),
        ("rwr", (), ((0,), (1,), (2,))),
        ("ww", (), ((0,), (1,))),
        ("wrprw", (2,), ((0,), (1, 3), (4,))),
        ("rpr", (1,), ((0, 2),)),
    ],
)
def test_waves(effects: str, free: tuple[int, ...], waves: tuple[tuple[int, ...], ...]) -> None:
    assert plan_batch(batch(effects)) == BatchPlan(free, waves, {})


def test_equal_pure_calls_run_once_and_others_each_time() -> None:
    calls = {
        3: BatchCall("add", "pure", {"a": 1, "b": 2}),
        4: BatchCall("add", "pure", {"b": 2, "a": 1}),
        5: BatchCall("sub", "pure", {"a": 1, "b": 2}),
        6: BatchCall("add", "pure", {"a": 1, "b": 2.0}),
        7: BatchCall("look", "read", {}),
        8: BatchCall("look", "read", {}),
    }
    assert plan_batch(calls) == BatchPlan((3, 5, 6), ((7, 8),), {4: 3})

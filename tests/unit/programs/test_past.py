"""Where segments stand, and what no DAG of segments is."""

from __future__ import annotations

import pytest

from weft.errors import InvalidRequest
from weft.programs.past import MAX_SEGMENTS, Frame, Past, Placing, Segment


def segment(length: int, *parents: int, placing: Placing = "shared") -> Segment:
    return Segment(tokens=(7,) * length, parents=parents, placing=placing)


FORK = (segment(5), segment(2, 0), segment(3, 0), segment(1, 0))


def test_shared_branches_overlap() -> None:
    past = Past(segments=FORK, parents=(1, 2))
    assert past.frames[1:4] == (Frame({0: 0}, 5),) * 3
    assert past.frames[-1] == Frame({0: 0, 1: 5, 2: 5}, 8)
    assert past.num_tokens == 11


def test_rotated_branches_stand_end_to_end() -> None:
    past = Past(segments=FORK, parents=(3, 1, 2), placing="rotated")
    assert past.frames[-1] == Frame({0: 0, 1: 5, 2: 7, 3: 10}, 11)


def test_joins_in_branches_of_joins() -> None:
    segments = (
        *FORK,
        segment(4, 1, 2),
        segment(2, 4, 3, placing="rotated"),
        segment(1, 5),
    )
    past = Past(segments=segments, parents=(6,))
    assert past.frames[4] == Frame({0: 0, 1: 5, 2: 5}, 8)
    # All but the common beginning is laid anew: branches 1, 2, the join 4 behind them, branch 3.
    assert past.frames[5] == Frame({0: 0, 1: 5, 2: 7, 3: 10, 4: 11}, 15)
    assert past.frames[6] == Frame({0: 0, 1: 5, 2: 7, 3: 10, 4: 11, 5: 15}, 17)
    assert past.ancestors[-1] == frozenset(range(7))


def test_a_plan_of_steps_that_depend_on_each_other() -> None:
    """MedVerse: a step starts behind the longest of what it needs and sees no other."""
    segments = (segment(3), segment(4, 0), segment(1, 0), segment(2, 2), segment(1, 1, 3))
    past = Past(segments=segments, parents=(4,))
    assert past.frames[3] == Frame({0: 0, 2: 3}, 4)
    assert past.frames[4] == Frame({0: 0, 1: 3, 2: 3, 3: 4}, 7)


def test_what_begins_anew() -> None:
    past = Past(segments=(segment(3), segment(2)), parents=(0, 1), placing="rotated")
    assert past.frames[-1] == Frame({0: 0, 1: 3}, 5)


@pytest.mark.parametrize(
    ("segments", "parents", "what"),
    [
        ((), (), "0 segments"),
        ((segment(1),) * (MAX_SEGMENTS + 1), (0,), "1025 segments"),
        ((segment(0),), (0,), "Segment 0 of a past is empty"),
        ((segment(1, 0),), (0,), r"Segment 0 has the parents \(0,\)"),
        ((segment(1), segment(1, 1)), (0,), r"parents \(1,\)"),
        ((segment(1), segment(1, 0, 0)), (0,), r"parents \(0, 0\)"),
        ((segment(1), segment(1, -1)), (0,), r"parents \(-1,\)"),
        ((segment(1),), (), "nothing follows"),
        ((segment(1),), (1,), "stream behind a past"),
        ((segment(1, placing="side by side"),), (0,), "placing is"),  # type: ignore[arg-type]
    ],
)
def test_no_past(segments: tuple[Segment, ...], parents: tuple[int, ...], what: str) -> None:
    with pytest.raises(InvalidRequest, match=what):
        Past(segments=segments, parents=parents)

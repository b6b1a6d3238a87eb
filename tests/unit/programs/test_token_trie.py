"""Trajectories that are merged share what they have in common, and nothing else."""

from __future__ import annotations

import pytest

from weft.errors import InvalidRequest
from weft.programs import TokenNode, Trajectory, merge_trajectories
from weft.programs.past import Past, Placing, Segment


def drew(
    source: str, prompt: tuple[int, ...], tokens: tuple[int, ...], past: Past | None = None
) -> Trajectory:
    logprobs = tuple(-float(token) for token in tokens)
    return Trajectory(
        source=source,
        past=past,
        prompt=prompt,
        tokens=tokens,
        logprobs=logprobs,
        behaviours=tuple(value / 2 for value in logprobs),
    )


def node(tokens: tuple[int, ...], *parents: int, by: tuple[str, ...] = ()) -> TokenNode:
    logprobs = tuple(-float(token) for token in tokens) if by else ()
    return TokenNode(
        tokens=tokens,
        parents=parents,
        sources=by,
        logprobs=logprobs,
        behaviours=tuple(value / 2 for value in logprobs),
    )


def test_samples_of_one_prompt() -> None:
    tree = merge_trajectories(
        [drew("a", (1, 2), (3, 4, 5)), drew("b", (1, 2), (3, 6)), drew("c", (9,), (1,))]
    )
    assert tree.nodes == (
        node((1, 2)),
        node((3,), 0, by=("a", "b")),
        node((4, 5), 1, by=("a",)),
        node((6,), 1, by=("b",)),
        node((9,)),
        node((1,), 4, by=("c",)),
    )


def test_turns_of_an_agent_are_one_line() -> None:
    """What one turn drew is given to the next; it counts where it was drawn."""
    tree = merge_trajectories(
        [drew("second", (1, 2, 3, 4, 5), (6,)), drew("first", (1, 2), (3, 4))]
    )
    assert tree.nodes == (
        node((1, 2)),
        node((3, 4), 0, by=("first",)),
        node((5,), 1),
        node((6,), 2, by=("second",)),
    )


def test_log_probabilities_come_from_the_first_that_knows_them() -> None:
    silent = Trajectory(source="silent", prompt=(1,), tokens=(2, 3))
    tree = merge_trajectories([silent, drew("a", (1,), (2,))])
    assert tree.nodes == (
        node((1,)),
        node((2,), 0, by=("silent", "a")),
        TokenNode(tokens=(3,), parents=(1,), sources=("silent",)),
    )


def past(*tokens: tuple[int, ...], placing: Placing = "shared") -> Past:
    branches = tuple(Segment(tokens=branch, parents=(0,)) for branch in tokens)
    numbers = tuple(range(1, 1 + len(tokens)))
    return Past(segments=(Segment(tokens=(1,)), *branches), parents=numbers, placing=placing)


def test_branches_of_a_join_stay_apart_and_take_in_what_was_drawn() -> None:
    """Both begin with a 2, which the stream behind them saw twice."""
    tree = merge_trajectories(
        [
            drew("left", (1, 2), (3, 0)),
            drew("right", (1, 2), (4,)),
            drew("end", (5,), (6,), past((2, 3), (2, 4))),
        ]
    )
    joined = TokenNode(tokens=(5,), parents=(2, 4))
    assert tree.nodes == (
        node((1,)),
        node((2,), 0),
        node((3,), 1, by=("left",)),
        node((2,), 0),
        node((4,), 3, by=("right",)),
        joined,
        node((6,), 5, by=("end",)),
        # The token that ended the branch, which is not part of its text.
        node((0,), 2, by=("left",)),
    )


def test_equal_branches_are_there_as_often_as_they_were_seen() -> None:
    tree = merge_trajectories([drew("end", (5,), (6,), past((2,), (2,)))])
    assert [one.tokens for one in tree.nodes] == [(1,), (2,), (2,), (5,), (6,)]
    assert tree.nodes[3].parents == (1, 2)


def test_joins_of_the_same_branches_share_them() -> None:
    asked = past((2, 3), (4,), placing="rotated")
    tree = merge_trajectories([drew("x", (5,), (6,), asked), drew("y", (7,), (8,), asked)])
    assert [one.tokens for one in tree.nodes] == [(1,), (2, 3), (4,), (5,), (6,), (7,), (8,)]


def test_what_is_laid_in_another_order_shares_nothing() -> None:
    one, other = past((2, 3), (4,), placing="rotated"), past((4,), (2, 3), placing="rotated")
    tree = merge_trajectories([drew("x", (5,), (6,), one), drew("y", (5,), (8,), other)])
    assert [each.tokens for each in tree.nodes][5:] == [(1,), (4,), (2, 3), (5,), (8,)]
    frames = tree.frames()
    assert frames[3].starts == {0: 0, 1: 1, 2: 3}
    assert frames[8].starts == {5: 0, 6: 1, 7: 2}


def test_a_branch_that_goes_on_behind_others_keeps_its_place() -> None:
    """Laid end to end by segments: 2, then 3, then 4, which goes on from 2."""
    segments = (
        Segment(tokens=(1,)),
        Segment(tokens=(2,), parents=(0,)),
        Segment(tokens=(3,), parents=(0,)),
        Segment(tokens=(4,), parents=(1,)),
    )
    asked = Past(segments=segments, parents=(2, 3), placing="rotated")
    tree = merge_trajectories([drew("x", (5,), (6,), asked)])
    assert [one.tokens for one in tree.nodes] == [(1,), (2,), (3,), (4,), (5,), (6,)]
    assert tree.frames()[4] == asked.frames[-1]


def test_no_trajectory() -> None:
    with pytest.raises(InvalidRequest, match="'a' has no prompt"):
        drew("a", (), (1,))
    with pytest.raises(InvalidRequest, match="1 log-probabilities for 2 tokens"):
        Trajectory(source="a", prompt=(1,), tokens=(2, 3), logprobs=(-1.0,))

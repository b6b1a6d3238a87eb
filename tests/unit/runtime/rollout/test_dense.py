"""Trees as arrays."""

from __future__ import annotations

import numpy as np

from weft.programs import TokenNode, TokenTree
from weft.runtime.rollout import dense, distances, visibility


def fork(*behind: TokenNode) -> TokenTree:
    nodes = (
        TokenNode(tokens=(1, 2)),
        TokenNode(tokens=(3,), parents=(0,)),
        TokenNode(tokens=(4,), parents=(1,), sources=("a",), logprobs=(-0.5,)),
        TokenNode(tokens=(5, 6), parents=(0,), sources=("b", "c"), behaviours=(-1.0, -2.0)),
    )
    return TokenTree(nodes=(*nodes, *behind))


def test_a_fork() -> None:
    packed = dense(fork())
    assert packed.tokens_T.tolist() == [1, 2, 3, 4, 5, 6]
    assert packed.nodes_T.tolist() == [0, 0, 1, 2, 3, 3]
    assert packed.previous_T.tolist() == [-1, 0, 1, 2, 1, 4]
    assert packed.weights_T.tolist() == [0, 0, 0, 1, 2, 2]
    nan = float("nan")
    np.testing.assert_array_equal(packed.logprobs_T, [nan, nan, nan, -0.5, nan, nan])
    np.testing.assert_array_equal(packed.behaviours_T, [nan, nan, nan, nan, -1.0, -2.0])
    assert packed.positions_T is not None
    assert packed.positions_T.tolist() == [0, 1, 2, 3, 2, 3]
    assert packed.entries_T is not None and packed.exits_T is not None
    assert packed.entries_T.tolist() == [0, 1, 2, 3, 4, 5]
    assert packed.exits_T.tolist() == [5, 5, 3, 3, 5, 5]


def test_a_shared_join_has_positions_and_no_times() -> None:
    tree = fork(TokenNode(tokens=(7, 8), parents=(1, 3)))
    packed = dense(tree)
    assert packed.entries_T is None and packed.exits_T is None
    assert packed.positions_T is not None
    assert packed.positions_T.tolist() == [0, 1, 2, 3, 2, 3, 4, 5]
    assert packed.previous_T.tolist()[-2:] == [-1, 6]
    # It sees both branches, and not what went on from the first.
    assert visibility(tree)[-2:].astype(int).tolist() == [
        [1, 1, 1, 0, 1, 1, 1, 0],
        [1, 1, 1, 0, 1, 1, 1, 1],
    ]
    assert distances(tree)[-1].tolist() == [5, 4, 3, 0, 3, 2, 1, 0]


def test_a_rotated_join_has_distances_alone() -> None:
    tree = fork(TokenNode(tokens=(7,), parents=(1, 3), placing="rotated"))
    assert dense(tree).positions_T is None
    assert distances(tree)[-1].tolist() == [5, 4, 3, 0, 2, 1, 0]
    assert distances(tree)[5].tolist() == [3, 2, 0, 0, 1, 0, 0]

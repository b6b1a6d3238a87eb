"""What a token tree says of itself, and what is none."""

from __future__ import annotations

import pytest

from weft.errors import InvalidRequest
from weft.programs import TokenNode, TokenTree, TreeBranch
from weft.programs.past import Past, Segment

ROOT = TokenNode(tokens=(1, 2, 3))
DRAWN = TokenNode(
    tokens=(4, 5), parents=(0,), sources=("a",), logprobs=(-0.5, -1e-9), behaviours=(0.0, -2.25)
)
OTHER = TokenNode(tokens=(6,), parents=(0,))
BEHIND = TokenNode(tokens=(7,), parents=(1, 2), placing="rotated")
LAST = TokenNode(tokens=(8, 9), parents=(3,), sources=("b", "c"))
TREE = TokenTree(nodes=(ROOT, DRAWN, OTHER, BEHIND, LAST))


def test_what_it_says() -> None:
    assert (TREE.num_tokens, TREE.num_generated_tokens) == (9, 4)
    assert (TREE.has_joins, TREE.has_turns, TREE.is_recomputable) == (True, True, True)
    assert TREE.starts() == (0, 3, 3, 6, 7)
    assert TREE.ancestors(4) == {0, 1, 2, 3}
    fork = TokenTree(nodes=(ROOT, DRAWN, OTHER), why_not="because")
    assert (fork.has_joins, fork.has_turns, fork.is_recomputable) == (False, False, False)
    assert fork.starts() == (0, 3, 3)


def test_a_branch_begins_behind_a_join_or_where_all_begins() -> None:
    assert TREE.branch(1) == TreeBranch(None, (0, 1))
    past = Past(
        segments=(
            Segment(tokens=(1, 2, 3)),
            Segment(tokens=(4, 5), parents=(0,)),
            Segment(tokens=(6,), parents=(0,)),
        ),
        parents=(1, 2),
        placing="rotated",
    )
    assert TREE.branch(4) == TreeBranch(past, (3, 4))


def test_json_and_back() -> None:
    assert TokenTree.from_json(TREE.to_json()) == TREE
    marked = TokenTree(nodes=(ROOT,), why_not="lanes")
    assert TokenTree.from_json(marked.to_json()) == marked


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"nodes": [{"tokens": ["1"]}]}', r"nodes\.0\.tokens\.0"),
        ('{"nodes": [{"tokens": [1], "placing": "aside"}]}', r"nodes\.0\.placing"),
        ('{"nodes": [{"tokens": []}]}', "Segment 0 of a tree is empty"),
        ('{"nodes": [{"tokens": [1], "parents": [0]}]}', r"parents \(0,\)"),
    ],
)
def test_text_that_is_no_tree(text: str, what: str) -> None:
    with pytest.raises(InvalidRequest, match=what):
        TokenTree.from_json(text)


@pytest.mark.parametrize(
    ("node", "what"),
    [
        (TokenNode(tokens=(-1,)), "token id -1"),
        (TokenNode(tokens=(1,), sources=("a",)), r"behind the parents \(\)"),
        (TokenNode(tokens=(1,), parents=(0, 1), sources=("a",)), r"behind the parents \(0, 1\)"),
        (TokenNode(tokens=(1,), parents=(1,), logprobs=(-1.0,)), "1 logprobs for 1 tokens"),
        (
            TokenNode(tokens=(1, 2), parents=(1,), sources=("a",), behaviours=(-1.0,)),
            "1 behaviours for 2 tokens",
        ),
        (
            TokenNode(tokens=(1,), parents=(1,), sources=("a",), logprobs=(float("nan"),)),
            "no finite numbers",
        ),
    ],
)
def test_nodes_that_cannot_be(node: TokenNode, what: str) -> None:
    with pytest.raises(InvalidRequest, match=what):
        TokenTree(nodes=(ROOT, OTHER, node))

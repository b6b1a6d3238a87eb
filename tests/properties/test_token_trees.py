"""Trajectories of every shape: a tree shows each token what its own trajectory showed it."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from tests.properties.strategies import token_runs
from tests.support.dense import dense_forward, packed_past
from tests.support.tiny import build_checkpoint
from weft.programs import TokenTree, Trajectory, merge_trajectories
from weft.programs.past import Past, Placing, Segment
from weft.runtime.engine import EngineConfig, open_engine
from weft.runtime.rollout import dense, distances, recompute, visibility

pytestmark = pytest.mark.slow

Line = tuple[int, ...]
View = Counter[tuple[int, int]]
"""The tokens that one sees and how far before it each of them stands."""


def lines() -> st.SearchStrategy[list[tuple[Line, Line]]]:
    """Prompts and what was drawn behind them, over two tokens."""
    runs = token_runs(6)
    return st.lists(st.tuples(runs, runs), min_size=1, max_size=6)


@st.composite
def pasts(draw: st.DrawFn, placings: Sequence[Placing]) -> Past:
    segments: list[Segment] = []
    for number in range(draw(st.integers(1, 5))):
        parents = draw(st.lists(st.integers(0, max(number - 1, 0)), max_size=3, unique=True))
        segments.append(
            Segment(
                tokens=draw(token_runs(3)),
                parents=tuple(parents) if number else (),
                placing=draw(st.sampled_from(placings)),
            )
        )
    numbers = st.integers(0, len(segments) - 1)
    parents = draw(st.lists(numbers, min_size=1, max_size=3, unique=True))
    placing = draw(st.sampled_from(placings))
    return Past(segments=tuple(segments), parents=tuple(parents), placing=placing)


@st.composite
def rearranged(draw: st.DrawFn) -> Past:
    """The same few branches laid end to end in any order, one of which may have gone on."""
    branches = draw(st.permutations([(0, 1), (1,), (0, 0)]))
    segments = [Segment(tokens=(1, 0))]
    segments += [Segment(tokens=branch, parents=(0,)) for branch in branches]
    longer = draw(st.integers(0, 3))
    if longer:
        segments.append(Segment(tokens=(1, 1), parents=(longer,)))
    ends = tuple(at for at in range(1, len(segments)) if at != longer)
    return Past(segments=tuple(segments), parents=ends, placing="rotated")


def drawn(pairs: Sequence[tuple[Line, Line]], given: Sequence[Past | None]) -> list[Trajectory]:
    return [
        Trajectory(source=str(at), past=past, prompt=prompt, tokens=tokens)
        for at, ((prompt, tokens), past) in enumerate(zip(pairs, given, strict=True))
    ]


def shared_pasts(placings: Sequence[Placing]) -> st.SearchStrategy[list[Past | None]]:
    """A few, met again and again: as many as there may be lines."""
    few = st.lists(st.none() | pasts(placings), min_size=1, max_size=3)
    if "rotated" in placings:
        few |= st.lists(rearranged(), min_size=2, max_size=3)
    return few.flatmap(lambda found: st.lists(st.sampled_from(found), min_size=6, max_size=6))


@given(lines())
def test_lines_are_packed_by_the_naive_definition(pairs: list[tuple[Line, Line]]) -> None:
    """A token is where its prefix is: its depth its position, seen by all that begin so."""
    tree = merge_trajectories(drawn(pairs, [None] * len(pairs)))
    prefixes = {(*p, *t)[:end] for p, t in pairs for end in range(1, len((*p, *t)) + 1)}
    packed = dense(tree)
    tokens: list[int] = packed.tokens_T.tolist()
    before_each: list[int] = packed.previous_T.tolist()
    prefix_T: list[Line] = []
    for token, previous in zip(tokens, before_each, strict=True):
        before: Line = prefix_T[previous] if previous >= 0 else ()
        prefix_T.append((*before, token))
    assert len(prefix_T) == len(prefixes) and set(prefix_T) == prefixes
    assert packed.positions_T is not None
    assert packed.positions_T.tolist() == [len(prefix) - 1 for prefix in prefix_T]
    is_seen_TT = np.array([[row[: len(key)] == key for key in prefix_T] for row in prefix_T])
    assert np.array_equal(visibility(tree), is_seen_TT)
    assert packed.entries_T is not None and packed.exits_T is not None
    by_times_TT = (packed.entries_T <= packed.entries_T[:, None]) & (
        packed.entries_T[:, None] <= packed.exits_T
    )
    assert np.array_equal(by_times_TT, is_seen_TT)
    counts = Counter(
        (*p, *t)[:end] for p, t in pairs for end in range(len(p) + 1, len((*p, *t)) + 1)
    )
    assert packed.weights_T.tolist() == [counts[prefix] for prefix in prefix_T]


def views(tokens: Sequence[int], is_seen_TT: object, distances_TT: object) -> list[View]:
    """Of every token of a row."""
    return [
        Counter((tokens[at], int(distance[at])) for at in np.flatnonzero(seen).tolist())
        for seen, distance in zip(np.asarray(is_seen_TT), np.asarray(distances_TT), strict=True)
    ]


def views_alone(one: Trajectory) -> list[View]:
    """Of the tokens that were drawn, as their own request packs them."""
    stream = (*one.prompt, *one.tokens)
    if one.past is None:
        rows = range(len(one.prompt), len(stream))
        return [Counter((stream[key], row - key) for key in range(row + 1)) for row in rows]
    tokens, distances_TT, is_seen_TT = packed_past(one.past, stream)
    return views(tokens, is_seen_TT, distances_TT)[-len(one.tokens) :]


def views_in_tree(tree: TokenTree, source: str) -> list[View]:
    packed = dense(tree)
    all_views = views(packed.tokens_T.tolist(), visibility(tree), distances(tree))
    is_drawn = [source in tree.nodes[node].sources for node in packed.nodes_T.tolist()]
    return [view for view, is_mine in zip(all_views, is_drawn, strict=True) if is_mine]


@settings(max_examples=60)
@given(lines(), shared_pasts(["shared", "rotated"]))
def test_every_token_sees_what_it_saw(
    pairs: list[tuple[Line, Line]], given_pasts: list[Past | None]
) -> None:
    trajectories = drawn(pairs, given_pasts[: len(pairs)])
    tree = merge_trajectories(trajectories)
    for one in trajectories:
        assert views_in_tree(tree, one.source) == views_alone(one)
    assert TokenTree.from_json(tree.to_json()) == tree


@settings(max_examples=40)
@given(lines(), shared_pasts(["shared"]))
def test_positions_are_distances_where_nothing_is_turned(
    pairs: list[tuple[Line, Line]], given_pasts: list[Past | None]
) -> None:
    tree = merge_trajectories(drawn(pairs, given_pasts[: len(pairs)]))
    positions_T = dense(tree).positions_T
    assert positions_T is not None
    by_positions_TT = positions_T[:, None] - positions_T
    assert np.array_equal(np.where(visibility(tree), by_positions_TT, 0), distances(tree))


@settings(max_examples=40)
@given(lines(), shared_pasts(["shared", "rotated"]))
def test_branches_go_on_from_what_the_tree_says(
    pairs: list[tuple[Line, Line]], given_pasts: list[Past | None]
) -> None:
    """The request that a branch is computed as sees what the branch sees in the tree."""
    tree = merge_trajectories(drawn(pairs, given_pasts[: len(pairs)]))
    packed = dense(tree)
    in_tree = views(packed.tokens_T.tolist(), visibility(tree), distances(tree))
    for number, node in enumerate(tree.nodes):
        if node.is_generated:
            past, line = tree.branch(number)
            tokens = tuple(token for at in line for token in tree.nodes[at].tokens)
            wanted = [
                view for view, at in zip(in_tree, packed.nodes_T, strict=True) if at == number
            ]
            cut = len(tokens) - len(node.tokens)
            alone = Trajectory(source="", past=past, prompt=tokens[:cut], tokens=tokens[cut:])
            assert views_alone(alone) == wanted


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_each_branch_by_itself_is_as_likely_as_in_one_forward(tmp_path: Path) -> None:
    folder = str(build_checkpoint(tmp_path, head_dim=16))
    model = AutoModelForCausalLM.from_pretrained(folder)
    with asyncio.Runner() as runner:
        config = EngineConfig(kv_bytes=1 << 20, max_running=16, max_batch_tokens=64)
        engine = runner.run(open_engine(folder, config=config))

        @settings(max_examples=25)
        @given(lines(), shared_pasts(["shared", "rotated"]))
        def compare(pairs: list[tuple[Line, Line]], given_pasts: list[Past | None]) -> None:
            tree = merge_trajectories(drawn(pairs, given_pasts[: len(pairs)]))
            packed = dense(tree)
            logits_TV = dense_forward(
                model, packed.tokens_T.tolist(), distances(tree), torch.from_numpy(visibility(tree))
            )
            rows_TV = logits_TV.double().log_softmax(-1).numpy()[packed.previous_T]
            wanted_T = rows_TV[np.arange(tree.num_tokens), packed.tokens_T]
            wanted_T[packed.weights_T == 0] = np.nan
            got_T = runner.run(recompute(tree, engine))
            np.testing.assert_allclose(got_T, wanted_T, atol=1e-4)

        try:
            compare()
        finally:
            runner.run(engine.close())

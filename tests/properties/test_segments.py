"""Attention over segments: the fast version against the definition, whatever is seen."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.views import Scene, fast, random_scene, seen_slots, slow
from weft.runtime.engine.native import load_kernels

TOLERANCE = 1e-4


@pytest.fixture(autouse=True, scope="module")
def kernels() -> None:
    """Compiled before any example is timed."""
    load_kernels()


def scenes() -> st.SearchStrategy[Scene]:
    return st.builds(
        random_scene,
        st.integers(0, 10**6),
        num_kv_heads=st.integers(1, 3),
        group=st.integers(1, 5),
        head_dim=st.sampled_from([16, 32, 64, 80, 128]),
        block_size=st.sampled_from([1, 3, 16, 64]),
        max_keys=st.sampled_from([1, 20, 300, 600]),
        num_queries=st.integers(1, 9),
        dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.int8]),
    )


def windows() -> st.SearchStrategy[int | None]:
    return st.one_of(st.none(), st.integers(1, 700))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(scenes(), windows())
def test_fast_equals_the_definition(scene: Scene, window: int | None) -> None:
    for got, wanted in zip(fast(scene, window), slow(scene, window), strict=True):
        torch.testing.assert_close(got.double(), wanted, atol=TOLERANCE, rtol=0)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(scenes(), windows())
def test_a_querys_bits_do_not_depend_on_the_others(scene: Scene, window: int | None) -> None:
    together = fast(scene, window)
    for query in range(len(scene.queries.views)):
        alone = fast(scene.alone(query), window)
        assert torch.equal(alone.out_THD[0], together.out_THD[query])
        assert torch.equal(alone.lse_TH[0], together.lse_TH[query])


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(scenes(), windows(), st.data())
def test_what_a_query_may_not_see_has_no_say(
    scene: Scene, window: int | None, data: st.DataObject
) -> None:
    """A NaN spoils those that see it, and nobody who reads the same chunk."""
    num_queries = len(scene.queries.views)
    seen = [seen_slots(scene, query, window) for query in range(num_queries)]
    slots = sorted(frozenset[int]().union(*seen)) or [0]
    bad = set(data.draw(st.lists(st.sampled_from(slots), min_size=1, max_size=3)))
    clean, spoilt = fast(scene, window), fast(scene.poisoned(bad), window)
    for query in range(num_queries):
        if seen[query] & bad:
            assert spoilt.out_THD[query].isnan().all()
        else:
            assert torch.equal(spoilt.out_THD[query], clean.out_THD[query])
            assert torch.equal(spoilt.lse_TH[query], clean.lse_TH[query])

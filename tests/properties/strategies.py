"""Hypothesis strategies that several property tests share."""

from __future__ import annotations

from hypothesis import strategies as st

from weft.cache import Namespace

__all__ = ["namespaces", "token_runs"]


def token_runs(max_size: int = 10) -> st.SearchStrategy[tuple[int, ...]]:
    """Short runs over two tokens: long common prefixes and late divergence are frequent."""
    return st.lists(st.integers(0, 1), min_size=1, max_size=max_size).map(tuple)


def namespaces() -> st.SearchStrategy[Namespace]:
    return st.sampled_from(
        [Namespace(), Namespace(), Namespace(tenant="other", weights_version=1, adapter="lora")]
    )

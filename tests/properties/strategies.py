"""Hypothesis strategies that several property tests share."""

from __future__ import annotations

from hypothesis import strategies as st

from weft.cache import Namespace

__all__ = ["namespaces", "token_runs"]


def token_runs(max_size: int = 10) -> st.SearchStrategy[tuple[int, ...]]:
    """Short runs over two tokens: long common prefixes and late divergence are frequent.

    One number is drawn and its binary digits are the tokens: far cheaper than drawing each.
    """
    sizes_and_digits = st.integers(2, 2 ** (max_size + 1) - 1)
    return sizes_and_digits.map(lambda number: tuple(int(digit) for digit in f"{number:b}"[1:]))


def namespaces() -> st.SearchStrategy[Namespace]:
    return st.sampled_from(
        [Namespace(), Namespace(), Namespace(tenant="other", weights_version=1, adapter="lora")]
    )

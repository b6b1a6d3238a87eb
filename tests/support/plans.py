"""Views without a model, and what a plan makes of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from weft.runtime.engine.cuda import Plan, Views

__all__ = ["covered", "views_over"]


def views_over(
    tables_SB: npt.NDArray[np.int32], rows: Sequence[int], num_keys: Sequence[int]
) -> Views:
    """One view for each query, of whole sequences up to a key."""
    num_keys_N = np.asarray(num_keys, np.int64)
    return Views(
        num_queries=len(rows),
        queries_N=np.arange(len(rows)),
        rows_N=np.asarray(rows, np.int64),
        positions_N=num_keys_N - 1,
        num_keys_N=num_keys_N,
        tables_SB=tables_SB,
        bases_N=num_keys_N,
    )


def covered(plan: Plan, split: int = 16) -> set[tuple[int, int]]:
    """Pairs of a view and a split it has that some item reads; none is read twice."""
    pairs = [
        (view, at)
        for begin, end, first, stop, _ in plan.items_I5.tolist()
        for view in plan.order_N[begin:end].tolist()
        for at in range(first, stop)
        if at * split < plan.views.num_keys_N[view]
    ]
    assert len(pairs) == len(set(pairs))
    return set(pairs)

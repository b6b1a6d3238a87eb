"""A plan as the kernels read it: one vector of integers, copied to the device at once.

    header   number of items; where items, views and the queries' parts begin
    items    5 each: see ``Plan.items_I5``
    views    7 each, in the order of reading: its own number, which is its row of queries; where
             its table begins; position; number of keys; first part; number of keys that lie in
             order; where its path begins
    parts    of each query the first; at the end their number
    paths    of each view, as places in its table
    tables   block ids

Everything has its place in the vector and nothing in a kernel's arguments, so that a recorded
launch reads whatever plan lies there when it is replayed.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from weft.runtime.engine.cuda.plan import Plan
from weft.runtime.engine.cuda.views import Views

__all__ = ["pack_plan"]

Int32s: TypeAlias = npt.NDArray[np.int32]

HEADER_SIZE = 4
VIEW_SIZE = 7


def pack_plan(plan: Plan) -> Int32s:
    views, order_N = plan.views, plan.order_N
    places_NJ = _places(views)
    items_at = HEADER_SIZE
    views_at = items_at + plan.items_I5.size
    parts_at = views_at + VIEW_SIZE * len(order_N)
    paths_at = parts_at + len(plan.query_parts)
    tables_at = paths_at + places_NJ.size
    views_7N = (
        np.arange(len(order_N)),
        tables_at + views.rows_N * views.tables_SB.shape[1],
        views.positions_N,
        views.num_keys_N,
        plan.parts_N,
        views.bases_N,
        paths_at + np.arange(len(order_N)) * places_NJ.shape[1],
    )
    sections = (
        np.array([len(plan.items_I5), items_at, views_at, parts_at]),
        plan.items_I5,
        np.stack(views_7N, 1)[order_N],
        plan.query_parts,
        places_NJ,
        views.tables_SB,
    )
    return np.concatenate([section.reshape(-1) for section in sections], dtype=np.int32)


def _places(views: Views) -> npt.NDArray[np.int64]:
    if views.paths_NJ is None:
        return np.zeros((len(views.bases_N), 0), np.int64)
    return views.bases_N[:, None] + views.paths_NJ

"""What the tokens of a Tick see, where that is more than their own tables.

Shapes: T packed tokens, P parts, N views, R rows of block tables, B blocks in the longest of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Seq
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from weft.runtime.engine.batch import Views
from weft.runtime.engine.planner import Part
from weft.runtime.engine.sequence import Sequence

__all__ = ["Sight", "block_tables", "look_around"]

Ints = npt.NDArray[np.int64]


class Sight(NamedTuple):
    """The views of a Tick and what they refer to."""

    positions_T: Ints
    tables_RB: npt.NDArray[np.int32]
    """Those of the parts, then those that they look into."""
    views: Views


def look_around(parts: Seq[Part], places_T: Ints) -> Sight | None:
    """The views of all tokens; ``None`` when every sequence sees its own table alone.

    ``places_T``: the tokens' places in their own tables.
    """
    if not any([part.sequence.glimpses for part in parts]):
        return None
    owners = [part.sequence for part in parts]
    seen, counts = _seen(owners)
    origins_T = np.array([part.sequence.origin for part in parts])
    seen_5S = np.array(seen, np.int64).reshape(-1, 5).T.copy()
    counts_P = np.array(counts)
    if len(places_T) == len(parts):
        views = _views_of_one(seen_5S, counts_P, places_T)
    else:
        lens_P = np.array([part.num_tokens for part in parts])
        origins_T = np.repeat(origins_T, lens_P)
        views = _views(seen_5S, counts_P, lens_P, places_T)
    return Sight(places_T + origins_T, block_tables(owners), views)


def _seen(owners: list[Sequence]) -> tuple[list[int], list[int]]:
    """What all tokens of a part see, and last its own table, whose end the token decides: the row,
    the first place, the end, by how much a query is turned from its place, the row's origin. And
    how many such there are for each part. Adds the holders of what is seen to the ``owners``."""
    rows = {id(owner): row for row, owner in enumerate(owners)}
    seen, counts = list[int](), list[int]()
    for row, owner in enumerate(tuple(owners)):
        own = owner.origin
        base = own + owner.lift
        for holder, first, end, shift in owner.glimpses:
            held = rows.setdefault(id(holder), len(owners))
            if held == len(owners):
                owners.append(holder)
            seen += (held, first, end, base + shift, holder.origin)
        seen += (row, owner.first_seen, 0, own, own)
        counts.append(len(owner.glimpses) + 1)
    return seen, counts


def _views_of_one(seen_5S: Ints, counts_P: Ints, places_P: Ints) -> Views:
    """``_views`` where every part has one token: what is seen are the views."""
    rows_N, firsts_N, num_keys_N, turns_N, origins_N = seen_5S
    num_keys_N[np.cumsum(counts_P) - 1] = places_P + 1
    turns_N += np.repeat(places_P, counts_P)
    return Views(
        np.repeat(np.arange(len(places_P)), counts_P),
        rows_N.astype(np.int32),
        firsts_N,
        num_keys_N,
        turns_N - origins_N,
        turns_N,
    )


def _views(seen_5S: Ints, counts_P: Ints, lens_P: Ints, places_T: Ints) -> Views:
    """Token by token what its part sees: the next ``counts_P`` columns of ``seen_5S``. The token's
    own table comes last, and is seen up to the token."""
    counts_T = np.repeat(counts_P, lens_P)
    ends_T = np.cumsum(counts_T)
    queries_N = np.repeat(np.arange(len(places_T)), counts_T)
    # A token's views end where ``ends_T`` says, what its part sees where this does.
    seen_ends_T = np.repeat(np.cumsum(counts_P), lens_P)
    which_N = np.arange(len(queries_N)) - (ends_T - seen_ends_T)[queries_N]
    rows_N, firsts_N, num_keys_N, turns_N, origins_N = seen_5S.take(which_N, axis=1)
    num_keys_N[ends_T - 1] = places_T + 1
    turns_N = turns_N + places_T[queries_N]
    return Views(
        queries_N,
        rows_N.astype(np.int32),
        firsts_N,
        num_keys_N,
        turns_N - origins_N,
        turns_N,
    )


def block_tables(owners: Iterable[Sequence]) -> npt.NDArray[np.int32]:
    """[R, B]: their blocks in order, padded with 0."""
    tables = [owner.table for owner in owners]
    num_blocks = [0 if table is None else table.num_blocks for table in tables]
    rows_RB = np.zeros((len(tables), max(num_blocks)), np.int32)
    for row_B, table in zip(rows_RB, tables, strict=True):
        assert table is not None, "a planned sequence, and all that it sees, hold their blocks"
        table.write_row(row_B)
    return rows_RB

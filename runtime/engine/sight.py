"""What the tokens of a Tick see, where that is more than their own tables.

Shapes: T packed tokens, R rows of block tables, B blocks in the longest of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Seq
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from weft.runtime.engine.batch import Views
from weft.runtime.engine.planner import Part
from weft.runtime.engine.sequence import Glimpse, Sequence

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
    if not any(part.sequence.glimpses for part in parts):
        return None
    owners = [part.sequence for part in parts]
    rows = {id(owner): row for row, owner in enumerate(owners)}
    views: list[Ints] = []
    positions: list[Ints] = []
    first = 0
    for owner, num_tokens, _ in parts:
        glimpses = [glimpse for glimpse in owner.glimpses if glimpse.end > glimpse.first]
        for holder in (glimpse.holder for glimpse in glimpses):
            if id(holder) not in rows:
                rows[id(holder)] = len(owners)
                owners.append(holder)
        places = places_T[first : first + num_tokens]
        views.append(_views(owner, glimpses, rows, places, first))
        positions.append(places + owner.origin)
        first += num_tokens
    queries, tables, firsts, ends, at, turns = np.concatenate(views, axis=1)
    return Sight(
        np.concatenate(positions),
        block_tables(owners),
        Views(queries, tables.astype(np.int32), firsts, ends, at, turns),
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


def _views(
    owner: Sequence, glimpses: Seq[Glimpse], rows: dict[int, int], places: Ints, first: int
) -> Ints:
    """[6, tokens × (glimpses + 1)]: the fields of Views, token by token; a token's own table comes
    last, and is seen up to the token."""
    table, start, end, shift, origin = np.array(
        [
            *((rows[id(g.holder)], g.first, g.end, g.shift, g.holder.origin) for g in glimpses),
            (rows[id(owner)], owner.first_seen, 0, 0, owner.origin),
        ],
        np.int64,
    ).T
    shape = (len(places), len(table))
    ends = np.broadcast_to(end, shape).copy()
    ends[:, -1] = places + 1
    turns = places[:, None] + owner.origin + shift
    queries = np.broadcast_to(first + np.arange(len(places))[:, None], shape)
    columns = (queries, table, start, ends, turns - origin, turns)
    return np.stack([np.broadcast_to(column, shape) for column in columns]).reshape(6, -1)

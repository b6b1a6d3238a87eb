"""Who reads which keys together: planned once for a forward on the processor, used by every layer.

A view goes through its keys in **splits** of fixed positions, alone or beside other views whose
tables hold the same blocks there: with whom is a matter of speed and never of bits, so the plan
is free. Sorted by their block tables, views that share a prefix stand together, those that share
more of it closer (Hydragen, arXiv:2402.05099; ChunkAttention, arXiv:2402.15220); cutting every
split's views where neighbours part meets every level of sharing. No rule has to weigh whether that
pays: a view alone takes the same kernel with fewer rows of the same tile.

Shapes: N views, S rows of tables, B blocks in a row, I items, P splits of the longest view.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from weft.runtime.engine.cuda.views import Views

__all__ = ["Plan", "Room", "plan_views"]

Ints: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What a plan has to fit: sizes in views of a tile, items and parts."""

    tile_views: int
    split: int
    full_items: int
    """Items that keep the whole device busy; then a prompt's views need not be split."""
    max_parts: int
    """Splits are kept apart up to this many parts in all; each view has at least one."""


class Plan(NamedTuple):
    """Views in the order of reading, and the items to be worked off in any order."""

    views: Views
    order_N: Ints
    items_I5: Ints
    """First view and the one after the last, in the order; first split and the one after the
    last; and which of a view's parts it writes."""
    parts_N: Ints
    """By view, not by order: the first of its parts."""
    query_parts: Ints
    """By query: its first part; the last entry is their number."""

    @property
    def num_parts(self) -> int:
        return int(self.query_parts[-1])


def plan_views(views: Views, room: Room, block_size: int, *, shares: bool = True) -> Plan:
    """``shares``: rows of tables that hold the same blocks are read together."""
    order_N = _order(views, shares=shares)
    num_splits_N = -(-views.num_keys_N // room.split)
    is_whole_N = _is_whole(views, num_splits_N, room)
    links_N = _link(views, order_N, room.split, block_size, shares=shares)
    run = _Run(views.rows_N[order_N], links_N, num_splits_N[order_N], is_whole_N[order_N])
    items_I5 = np.concatenate([_whole_items(run, room), _split_items(run, room)])
    num_parts_N = np.where(is_whole_N, 1, num_splits_N)
    ends_N = np.concatenate([[0], np.cumsum(num_parts_N)])
    first_views = np.searchsorted(views.queries_N, np.arange(views.num_queries + 1))
    return Plan(views, order_N, items_I5, ends_N[:-1], ends_N[first_views])


def _order(views: Views, *, shares: bool) -> Ints:
    """Rows of tables by their bytes, which brings equal beginnings together; then by length."""
    ranks_S = np.arange(len(views.tables_SB))
    if shares and len(ranks_S) > 1:
        tables_SB = np.ascontiguousarray(views.tables_SB)
        rows_S = tables_SB.view(np.dtype((np.void, tables_SB.shape[1] * tables_SB.itemsize)))
        ranks_S[np.argsort(rows_S[:, 0], kind="stable")] = np.arange(len(ranks_S))
    return np.lexsort((views.num_keys_N, ranks_S[views.rows_N]))


def _is_whole(views: Views, num_splits_N: Ints, room: Room) -> Bools:
    """Whether a view's splits are joined by who reads them, and not kept as parts.

    Keeping them apart lets more of the device work on a view, which prompts that fill it anyway
    do not need; and it takes memory, for which the rows of tables that need least come first. The
    sums of a query with several views run over the splits of all, which no reader has in hand.
    """
    if (views.queries_N[1:] == views.queries_N[:-1]).any():
        return np.zeros(len(num_splits_N), np.bool_)
    counts_S = np.bincount(views.rows_N, minlength=len(views.tables_SB))
    num_tiles = int((-(-counts_S // room.tile_views)).sum())
    is_long_S = (counts_S > room.tile_views) & (num_tiles >= room.full_items)
    # A view that is not split has one part all the same.
    extra_S = np.bincount(views.rows_N, num_splits_N - 1, len(counts_S))
    extra_S[is_long_S] = 0
    cheapest_S = np.argsort(extra_S, kind="stable")
    is_over_S = np.zeros(len(counts_S), np.bool_)
    is_over_S[cheapest_S] = np.cumsum(extra_S[cheapest_S]) > room.max_parts - len(views.rows_N)
    return (is_long_S | is_over_S)[views.rows_N]


def _link(views: Views, order_N: Ints, split: int, block_size: int, *, shares: bool) -> Ints:
    """How many leading splits each view of the order reads with the one before it: those that
    both read from the same blocks; of one table they may see different parts of the last."""
    num_keys_N, bases_N = views.num_keys_N[order_N], views.bases_N[order_N]
    rows_N = views.rows_N[order_N]
    keys_N = np.minimum(num_keys_N[1:], num_keys_N[:-1])
    plain_N = np.minimum(bases_N[1:], bases_N[:-1])
    is_same_N = rows_N[1:] == rows_N[:-1]
    full_N = np.minimum(keys_N, plain_N) // split
    links_N = np.where(plain_N >= keys_N, -(-keys_N // split), full_N)
    links_N[~is_same_N] = 0
    if shares and not is_same_N.all():
        before_N, after_N = rows_N[:-1][~is_same_N], rows_N[1:][~is_same_N]
        differs = views.tables_SB[before_N] != views.tables_SB[after_N]
        differs = np.pad(differs, ((0, 0), (0, 1)), constant_values=True)
        common = differs.argmax(1) * block_size // split
        links_N[~is_same_N] = np.minimum(full_N[~is_same_N], common)
    return np.concatenate([[0], links_N])[: len(order_N)]


class _Run(NamedTuple):
    """Views in their order."""

    rows_N: Ints
    links_N: Ints
    num_splits_N: Ints
    is_whole_N: Bools


def _split_items(run: _Run, room: Room) -> Ints:
    """For every split the neighbours that share it, cut into tiles."""
    num_splits_N = np.where(run.is_whole_N, 0, run.num_splits_N)
    splits_P = np.arange(int(num_splits_N.max(initial=0)))[:, None]
    reads_PN = splits_P < num_splits_N
    joins_PN = splits_P < run.links_N
    joins_PN[:, 1:] &= reads_PN[:, :-1]
    splits_M, views_M = np.nonzero(reads_PN)
    begins, ends = _tiles(joins_PN[splits_M, views_M], room.tile_views)
    first_I = splits_M[begins]
    ends_I = views_M[begins] + ends - begins
    return np.stack([views_M[begins], ends_I, first_I, first_I + 1, first_I], 1)


def _whole_items(run: _Run, room: Room) -> Ints:
    """Neighbours of one row of tables, cut into tiles: the longer goes on where the shorter has
    ended, so no row may meet the keys of another sequence there. Longest first."""
    views_M = np.flatnonzero(run.is_whole_N)
    joins_N = np.zeros(len(run.rows_N), np.bool_)
    is_same_N = run.rows_N[1:] == run.rows_N[:-1]
    joins_N[1:] = is_same_N & (run.links_N[1:] == run.num_splits_N[:-1])
    begins, ends = _tiles(joins_N[views_M], room.tile_views)
    firsts_I, lasts_I = views_M[begins], views_M[ends - 1]
    stops_I = run.num_splits_N[lasts_I]
    zeros_I = np.zeros_like(firsts_I)
    items_I5 = np.stack([firsts_I, lasts_I + 1, zeros_I, stops_I, zeros_I], 1)
    return items_I5[np.argsort(-stops_I, kind="stable")]


def _tiles(joins_M: Bools, size: int) -> tuple[Ints, Ints]:
    """Begins and ends of runs of entries that join the one before, each cut every ``size``."""
    entries_M = np.arange(len(joins_M))
    run_starts_M = np.maximum.accumulate(np.where(joins_M, 0, entries_M))
    begins = np.flatnonzero((entries_M - run_starts_M) % size == 0)
    return begins, np.append(begins, len(entries_M))[1:]

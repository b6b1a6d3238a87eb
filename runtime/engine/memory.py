"""KV memory as sequences use it: admit, grow, fork, index, release."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from typing import NamedTuple
from weakref import WeakValueDictionary

from weft.cache import BlockCopy, BlockPool, BlockTable, Insertion, KvOwner, RadixTree, Standing
from weft.runtime.engine.sequence import Sequence
from weft.runtime.engine.spill import Spill

__all__ = ["SequenceMemory", "SlotMove"]


class SlotMove(NamedTuple):
    """What slot ``source`` holds must be copied to slot ``target``, with all others at once."""

    source: int
    target: int


class SequenceMemory:
    """Blocks for sequences, with equal prefixes shared through the RadixTree.

    Every method leaves pool, tree and tables balanced, also when it returns that there is no
    room. Owned by the engine's thread.
    """

    def __init__(
        self,
        pool: BlockPool,
        tree: RadixTree,
        *,
        has_prefix_cache: bool,
        spill: Spill | None = None,
    ) -> None:
        """``spill`` is what the tree hands blocks to that leave it."""
        self._pool = pool
        self._spill = spill
        self._tree = tree
        self._has_prefix_cache = has_prefix_cache
        self._owners: WeakValueDictionary[str, KvOwner] = WeakValueDictionary()
        """By Run, as long as something of it is cached."""

    @property
    def num_available(self) -> int:
        """Blocks that are free or could be made so without stopping anybody."""
        return self._pool.num_free + self._tree.num_evictable_blocks

    @property
    def num_blocks(self) -> int:
        """Blocks that there are for sequences."""
        return self._pool.num_blocks - 1

    def num_blocks_for(self, num_tokens: int) -> int:
        return -(-num_tokens // self._pool.block_size)

    def try_admit(self, sequence: Sequence, num_reserved: int) -> bool:
        """Give a waiting sequence its table, starting at the longest prefix already computed.

        Refuses, changing nothing but what is cached, when its pending tokens would not fit while
        ``num_reserved`` blocks stay available to those that run.
        """
        assert sequence.table is None, "only a sequence without blocks is admitted"
        self._attach_prefix(sequence)
        assert sequence.table is not None
        wanted = self.num_blocks_for(len(sequence.tokens)) - sequence.table.num_blocks
        if wanted + num_reserved > self.num_available:
            self.release(sequence, is_kept=False)
            return False
        if sequence.num_generated == 0:
            sequence.num_cached = sequence.num_computed
        return True

    def try_lay_tables(
        self, count: int, num_tokens: int, num_reserved: int
    ) -> list[BlockTable] | None:
        """So many tables with room for ``num_tokens`` each. ``None``, and nothing changed, when
        they would not fit while ``num_reserved`` blocks stay available to those that run."""
        num_blocks = count * self.num_blocks_for(num_tokens)
        if num_blocks + num_reserved > self.num_available:
            return None
        self._tree.evict(max(0, num_blocks - self._pool.num_free))
        tables = [BlockTable(self._pool.block_size) for _ in range(count)]
        is_grown = [table.try_grow(self._pool, num_tokens) for table in tables]
        assert all(is_grown), "the blocks were counted"
        return tables

    def free_tables(self, tables: Seq[BlockTable]) -> None:
        for table in tables:
            table.free(self._pool)

    def try_reserve(self, sequence: Sequence, num_tokens: int) -> list[BlockCopy] | None:
        """Make room to write the next ``num_tokens``, evicting from the index when needed.

        Returns the block copies to make before writing, or ``None`` when there is no room.
        """
        table = sequence.table
        assert table is not None, "only an admitted sequence grows"
        # Whole blocks, so that a sequence that decodes asks again only when one is full.
        num_blocks = self.num_blocks_for(sequence.num_computed + num_tokens)
        end = max(num_blocks * self._pool.block_size, table.num_tokens)
        # One more than it grows by: a last block shared with a fork is copied before it is written.
        shortage = table.num_missing_blocks(end) + 1 - self._pool.num_free
        if shortage > 0:
            self._tree.evict(shortage)
        if not table.try_grow(self._pool, end):
            return None
        copies = table.try_make_writable(self._pool, sequence.num_computed)
        sequence.num_writable = 0 if copies is None else end
        return copies

    def try_reserve_guesses(self, sequence: Sequence, num_guesses: int) -> bool:
        """Make room behind all of its tokens, which have theirs; False when there is none."""
        table = sequence.table
        assert table is not None, "only an admitted sequence is guessed for"
        end = max(len(sequence.tokens) + num_guesses, table.num_tokens)
        shortage = table.num_missing_blocks(end) - self._pool.num_free
        if shortage > 0:
            self._tree.evict(shortage)
        return table.try_grow(self._pool, end)

    def keep_guesses(self, sequence: Sequence, nodes: Seq[int]) -> list[SlotMove]:
        """Give back the room of all guesses but those that came true: ``nodes``, their numbers in
        the draft, in order. Returns how their keys and values must move, before anything else is
        written, to follow the sequence's tokens."""
        table = sequence.table
        assert table is not None, "only an admitted sequence is guessed for"
        end = len(sequence.tokens)
        moves = [
            SlotMove(table.slot(end + node), table.slot(end + at))
            for at, node in enumerate(nodes)
            if node != at
        ]
        table.truncate(self._pool, end + len(nodes))
        sequence.num_writable = end + len(nodes)
        return moves

    def fork(self, leader: Sequence, sibling: Sequence) -> None:
        """Let ``sibling`` share all blocks of ``leader``; whoever writes a shared one copies it."""
        assert leader.table is not None, "only an admitted sequence is forked"
        sibling.table = leader.table.fork(self._pool)
        sibling.num_computed = leader.num_computed
        sibling.num_cached = sibling.num_prompt
        leader.num_writable = sibling.num_writable = 0

    def will_share(self, head: Sequence, other: Sequence) -> bool:
        """Once all tokens of ``other`` are computed, more blocks of ``head``, which waits, will be
        in the index than now. One more than some there are already is not worth a Tick."""
        size = self._pool.block_size
        limit = min(head.num_shareable, len(other.tokens)) // size * size
        num_known = self._tree.match(head.namespace, head.tokens[:limit]).num_tokens
        end = num_known + (2 * size if num_known else size)
        return end <= limit and head.tokens[:end] == other.tokens[:end]

    def index_prompt(self, sequence: Sequence) -> None:
        """Let others share the full blocks computed so far, and keep them while this one runs."""
        if not self._has_prefix_cache or sequence.lane is not None:
            return  # what a lane has computed depends on what it saw
        lease = self._tree.lock(self._index(sequence).node)
        if sequence.lease is not None:
            sequence.lease.release()
        sequence.lease = lease

    def release(self, sequence: Sequence, *, is_kept: bool = True) -> None:
        """Take all blocks back; with ``is_kept`` the full ones stay in the index for reuse."""
        if sequence.table is None:
            return
        if is_kept and self._has_prefix_cache:
            self._index(sequence)
        if sequence.lease is not None:
            sequence.lease.release()
            sequence.lease = None
        sequence.table.free(self._pool)
        sequence.table = None
        sequence.num_computed = sequence.num_writable = 0

    def give_up(self, run_id: str) -> None:
        """What the Run alone has cached goes first when room is needed, until it caches more."""
        self._lower(run_id, "released")

    def demote(self, run_id: str) -> None:
        """What the Run alone has cached goes after what was given up, before all else."""
        self._lower(run_id, "demoted")

    def _lower(self, run_id: str, standing: Standing) -> None:
        owner = self._owners.get(run_id)
        if owner is not None:
            owner.standing = standing
            self._tree.reprice()

    def _attach_prefix(self, sequence: Sequence) -> None:
        block_ids: list[int] = []
        if self._has_prefix_cache:
            limit = sequence.num_shareable
            match = self._tree.match(sequence.namespace, sequence.tokens[:limit])
            sequence.lease = self._tree.lock(match.node)
            block_ids = match.block_ids
            if self._spill is not None:
                block_ids = self._read_back(self._spill, sequence, block_ids, limit)
        sequence.table = BlockTable.sharing(self._pool, block_ids)
        sequence.num_computed = sequence.table.num_tokens

    def _read_back(
        self, spill: Spill, sequence: Sequence, block_ids: list[int], limit: int
    ) -> list[int]:
        """Put what lies outside behind the blocks that are known, as far as there is room."""
        tokens = sequence.tokens[:limit]
        keys = spill.find(sequence.namespace, tokens, len(block_ids))
        self._tree.evict(len(keys) - self._pool.num_free)
        # What made room may itself have been put where these were.
        keys = spill.still_held(keys)[: self._pool.num_free]
        fresh = self._pool.try_allocate(len(keys))
        if not keys or fresh is None:
            return block_ids
        spill.load(keys, fresh)
        end = (len(block_ids) + len(fresh)) * self._pool.block_size
        owner = self._owner_of(sequence.job.request.run_id)
        known = self._tree.insert(
            sequence.namespace, tokens[:end], [*block_ids, *fresh], owner=owner
        )
        self._pool.release(fresh)
        assert sequence.lease is not None, "the known blocks are pinned"
        sequence.lease.release()
        sequence.lease = self._tree.lock(known.node)
        return known.block_ids

    def _index(self, sequence: Sequence) -> Insertion:
        assert sequence.table is not None, "only an admitted sequence has blocks to index"
        tokens = sequence.tokens[: sequence.num_computed]
        block_ids = sequence.table.block_ids
        owner = self._owner_of(sequence.job.request.run_id)
        return self._tree.insert(sequence.namespace, tokens, block_ids, owner=owner)

    def _owner_of(self, run_id: str) -> KvOwner | None:
        if not run_id:
            return None
        owner = self._owners.get(run_id)
        if owner is None:
            owner = self._owners[run_id] = KvOwner(run_id)
        owner.standing = "kept"
        return owner

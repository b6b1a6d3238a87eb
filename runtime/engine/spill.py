"""KV outside the pool: what Runs lost to others, to be read back, not computed again."""

from __future__ import annotations

from collections.abc import Sequence as Seq

from weft.cache import Namespace, RadixNode
from weft.cache.kv_store import KVStore
from weft.cache.spill_index import SpillIndex, block_keys, spell

__all__ = ["Spill"]


class Spill:
    """Blocks of Runs, copied out when the pool needs their place, bit for bit.

    Owned by the engine's thread; a copy takes its time.
    """

    def __init__(self, kv: KVStore, store: KVStore, num_slots: int) -> None:
        """``store`` has as many blocks as there are slots, of the shape of ``kv``."""
        self._kv = kv
        self._store = store
        self._index = SpillIndex(num_slots)
        self._width = kv.block_size * len(spell([0]))
        self.num_blocks = num_slots
        self.num_saved = 0
        """Blocks that were written out."""
        self.num_loaded = 0
        """Blocks that were read back."""

    @property
    def num_held(self) -> int:
        return len(self._index)

    def save(self, node: RadixNode, block_ids: Seq[int]) -> None:
        """Keep what leaves the prefix index, if a Run that has not released it may want it again.

        What was demoted leaves first; what is kept leaves only where that is not room enough.
        """
        if all(owner.standing == "released" for owner in node.owners):
            return
        keys = list(block_keys(node.namespace, node.spelled(), self._width))
        # The edge still spells all blocks of the leaf; those that stay are its first ones.
        first = len(keys) - len(node.edge) // self._width + len(node.block_ids)
        wanted = list(zip(keys[first : first + len(block_ids)], block_ids, strict=True))
        for key, _ in wanted:
            if key in self._index:
                self._index.renew(key)
        fresh = [(key, block_id) for key, block_id in wanted if key not in self._index]
        fresh = fresh[: self.num_blocks]
        if not fresh:
            return
        slots = [self._index.put(key) for key, _ in fresh]
        self._store.take_blocks(self._kv, [block_id for _, block_id in fresh], slots)
        self.num_saved += len(slots)

    def find(self, namespace: Namespace, tokens: Seq[int], num_known: int) -> Seq[bytes]:
        """The names of the blocks behind the first ``num_known`` that can be read back."""
        if not len(self._index):
            return []
        keys = list(block_keys(namespace, spell(tokens), self._width))[num_known:]
        return self.still_held(keys)

    def still_held(self, keys: Seq[bytes]) -> Seq[bytes]:
        """The leading ones of what was found before."""
        return keys[: len(self._index.find(keys))]

    def load(self, keys: Seq[bytes], block_ids: Seq[int]) -> None:
        """Copy what was found into blocks of the pool."""
        self._kv.take_blocks(self._store, self._index.find(keys), block_ids)
        self._index.retire(keys)
        self.num_loaded += len(keys)

    def free(self) -> None:
        """Give the memory back. Nothing may be saved or loaded afterwards."""
        self._store.free()

"""Which blocks are kept outside the pool, and where."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from hashlib import blake2b

from weft.cache.namespace import Namespace

__all__ = ["SpillIndex", "block_keys", "spell"]

KEY_BYTES = 16


class SpillIndex:
    """Finds a block by all tokens up to its end; the one that was put or read back longest ago
    makes room for a new one. No tensors: a slot is the number of a place for one block."""

    def __init__(self, num_slots: int) -> None:
        self._slots: OrderedDict[bytes, int] = OrderedDict()
        self._free = list(range(num_slots - 1, -1, -1))

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, key: bytes) -> bool:
        return key in self._slots

    def put(self, key: bytes) -> int:
        """A slot for a block that is not there yet."""
        assert key not in self._slots, "the block is there already"
        slot = self._free.pop() if self._free else self._slots.popitem(last=False)[1]
        self._slots[key] = slot
        return slot

    def renew(self, key: bytes) -> None:
        """The block is wanted again: it goes last."""
        self._slots.move_to_end(key)

    def find(self, keys: Sequence[bytes]) -> list[int]:
        """The slots of the leading blocks that are there."""
        slots: list[int] = []
        for key in keys:
            slot = self._slots.get(key)
            if slot is None:
                break
            slots.append(slot)
        return slots

    def retire(self, keys: Sequence[bytes]) -> None:
        """These were read back: their slots are the first to be used again, while what is in them
        still saves writing it once more."""
        for key in reversed(keys):
            self._slots.move_to_end(key, last=False)


def block_keys(namespace: Namespace, spelled: bytes, width: int) -> Iterator[bytes]:
    """A name for every block of ``width`` bytes: equal for equal namespaces and equal tokens from
    the first to its last."""
    key = repr(namespace).encode()
    for at in range(0, len(spelled) - width + 1, width):
        key = blake2b(key + spelled[at : at + width], digest_size=KEY_BYTES).digest()
        yield key


def spell(tokens: Sequence[int]) -> bytes:
    """Tokens as the edges of a RadixTree have them."""
    return array("q", tokens).tobytes()

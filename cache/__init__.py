"""KV memory: which blocks are in use, whose tokens they hold, and what may go.

The tensors themselves are in ``weft.cache.kv_store``, imported by that name because it brings
torch along; everything here works without.
"""

from __future__ import annotations

from weft.cache.eviction import EvictionPriority, least_recently_used, released_first
from weft.cache.lease import Lease
from weft.cache.namespace import Namespace
from weft.cache.node import RadixNode
from weft.cache.owner import KvOwner, Standing
from weft.cache.pool import PADDING_BLOCK, BlockPool
from weft.cache.radix import Insertion, PrefixMatch, RadixTree
from weft.cache.table import BlockCopy, BlockTable

__all__ = [
    "PADDING_BLOCK",
    "BlockCopy",
    "BlockPool",
    "BlockTable",
    "EvictionPriority",
    "Insertion",
    "KvOwner",
    "Lease",
    "Namespace",
    "PrefixMatch",
    "RadixNode",
    "RadixTree",
    "Standing",
    "least_recently_used",
    "released_first",
]

"""Random segments in a random KV memory, and random queries over them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch

from weft.cache.kv_store import KVShape, KVStore, LayerKV
from weft.runtime.engine.native import load_kernels
from weft.runtime.engine.segments import (
    Angles,
    Attended,
    Queries,
    Segment,
    attend_explicitly,
    attend_segments,
)

__all__ = ["Scene", "angles_of", "fast", "memory_of", "random_scene", "seen_slots", "slow"]

SCALE = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Everything that attention over segments takes."""

    queries: Queries
    memory: LayerKV
    block_size: int
    angles: Angles

    def alone(self, query: int) -> Scene:
        """One of the queries without the others."""
        one = slice(query, query + 1)
        queries = Queries(
            q_THD=self.queries.q_THD[one],
            positions_T=self.queries.positions_T[one],
            views=self.queries.views[one],
        )
        return Scene(
            queries=queries, memory=self.memory, block_size=self.block_size, angles=self.angles
        )

    def poisoned(self, slots: Iterable[int]) -> Scene:
        """The same with NaN as the keys and values of some slots."""
        k, v = self.memory.gather(torch.arange(len(self.memory.keys_NHD)))
        for slot in slots:
            k[slot] = v[slot] = torch.nan
        return replace(self, memory=memory_of(k, v, self.memory.keys_NHD.dtype))


def memory_of(k_NHD: torch.Tensor, v_NHD: torch.Tensor, dtype: torch.dtype) -> LayerKV:
    """A layer's memory that holds these keys and values, as near as its dtype comes."""
    num_slots, num_kv_heads, head_dim = k_NHD.shape
    shape = KVShape(num_kv_heads=num_kv_heads, head_dim=head_dim)
    store = KVStore(num_slots, 1, [shape], dtype, "cpu")
    store.write(0, torch.arange(num_slots), k_NHD, v_NHD)
    return store.layer(0)


def seen_slots(scene: Scene, query: int, window: int | None) -> set[int]:
    """The slots whose keys and values a query may read."""
    slots: set[int] = set()
    for segment in scene.queries.views[query]:
        stop = scene.queries.num_visible(query, segment)
        distance = int(scene.queries.positions_T[query]) - segment.offset
        start = 0 if window is None else max(distance - window + 1, 0)
        size = scene.block_size
        slots |= {segment.block_ids[p // size] * size + p % size for p in range(start, stop)}
    return slots


def fast(scene: Scene, window: int | None = None) -> Attended:
    """Through the kernels."""
    return attend_segments(
        load_kernels(),
        scene.queries,
        scene.memory,
        scene.block_size,
        scene.angles,
        scale=SCALE,
        window=window,
    )


def slow(scene: Scene, window: int | None = None) -> Attended:
    """By the definition."""
    return attend_explicitly(
        scene.queries, scene.memory, scene.block_size, scene.angles, scale=SCALE, window=window
    )


def angles_of(num_positions: int, head_dim: int) -> Angles:
    frequencies = 1e4 ** (-torch.arange(0, head_dim, 2) / head_dim)
    angles = torch.outer(torch.arange(num_positions), frequencies).repeat(1, 2)
    return Angles(angles.cos(), angles.sin())


def random_scene(
    seed: int,
    *,
    num_kv_heads: int = 2,
    group: int = 2,
    head_dim: int = 16,
    block_size: int = 4,
    max_keys: int = 600,
    num_queries: int = 5,
    dtype: torch.dtype = torch.float32,
) -> Scene:
    """Segments that share leading blocks, lie at any offset, some of them empty, some ahead of
    their queries; queries that see from none to four of them."""
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    width = -(-max_keys // block_size)
    size = ((1 + 3 * width) * block_size, num_kv_heads, head_dim)
    k, v = (torch.randn(size, generator=generator) for _ in range(2))
    segments = _segments(rng, rng.permutation(1 + 3 * width), width, max_keys, block_size)
    views = [_choose(rng, segments) for _ in range(num_queries)]
    q = torch.randn(num_queries, num_kv_heads * group, head_dim, generator=generator)
    positions = rng.integers(0, 2 * max_keys, num_queries)
    return Scene(
        queries=Queries(q_THD=q, positions_T=positions, views=views),
        memory=memory_of(k, v, dtype),
        block_size=block_size,
        angles=angles_of(3 * max_keys + 1, head_dim),
    )


def _choose(rng: np.random.Generator, segments: list[Segment]) -> list[Segment]:
    order: list[int] = rng.permutation(len(segments)).tolist()
    return [segments[i] for i in order[: int(rng.integers(0, len(segments)))]]


def _segments(
    rng: np.random.Generator,
    blocks: np.ndarray[tuple[int], np.dtype[np.int64]],
    width: int,
    max_keys: int,
    block_size: int,
) -> list[Segment]:
    """Two that part late, the first again at another place, one apart, one empty."""
    num_shared = int(rng.integers(0, width + 1))
    trunk, branch, apart = (blocks[i * width : (i + 1) * width] for i in range(3))
    parted = np.concatenate([trunk[:num_shared], branch[num_shared:]])
    return [
        Segment(
            block_ids=tuple(map(int, table)),
            num_keys=min(len(table) * block_size, int(rng.integers(0, max_keys + 1))),
            offset=int(rng.integers(-max_keys, max_keys)),
        )
        for table in (trunk, parted, trunk, apart, apart[:0])
    ]

"""Plans the attention of one model's batches, and puts the plans on the device.

Shapes: T packed tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from weft.runtime.engine.cuda.launch import Launch
from weft.runtime.engine.cuda.packed import pack_plan
from weft.runtime.engine.cuda.plan import Plan, Room, plan_views
from weft.runtime.engine.cuda.tiling import HeadShape, Tiling, tiling_of
from weft.runtime.engine.cuda.views import Views

__all__ = ["Planned", "Planner", "planner_for"]

Int32s: TypeAlias = npt.NDArray[np.int32]

PART_BYTES = 128 << 20
"""What splits that are kept apart may take: 16,000 parts of a model with 16 heads of 128."""
PROGRAMS_PER_PROCESSOR = 8
"""More than fit on a multiprocessor at once with either tiling, so that none waits for work."""
ITEMS_PER_PROCESSOR = 2
"""From as many items on, prompts are not split: about what runs at once on tall tiles."""


class Planned(NamedTuple):
    """A plan still on the processor."""

    ints: Int32s
    """See ``pack_plan``."""
    num_queries: int
    num_items: int
    num_parts: int
    has_paths: bool
    tiling: Tiling


@dataclass(frozen=True, slots=True, kw_only=True)
class Planner:
    """For one model on one device."""

    heads: HeadShape
    low: Tiling
    tall: Tiling
    """The same as ``low`` in deterministic mode: the bits of a product are promised for one
    height of tile only."""
    num_programs: int
    """Programs that the device is given at most for one key-value head."""
    full_items: int
    max_parts: int
    """See ``Room`` for both."""

    def plan(self, views: Views, block_size: int, *, shares: bool = True) -> Planned:
        """A tall tile is used when any item has more views than a low one holds."""
        room = Room(
            tile_views=self.tall.num_views(self.heads),
            split=self.tall.split,
            full_items=self.full_items,
            max_parts=self.max_parts,
        )
        plan = plan_views(views, room, block_size, shares=shares)
        is_low = _most_views(plan) <= self.low.num_views(self.heads)
        return Planned(
            ints=pack_plan(plan),
            num_queries=views.num_queries,
            num_items=len(plan.items_I5),
            num_parts=plan.num_parts,
            has_paths=views.paths_NJ is not None,
            tiling=self.low if is_low else self.tall,
        )

    def launch(self, planned: Planned, block_size: int, device: torch.device) -> Launch:
        """What computes this plan, once."""
        return replace(
            self.standing_launch(planned, block_size, torch.from_numpy(planned.ints).to(device)),
            num_parts=planned.num_parts,
            num_programs=min(max(1, planned.num_items), self.num_programs),
        )

    def standing_launch(self, planned: Planned, block_size: int, plan: torch.Tensor) -> Launch:
        """What computes any plan that is copied into ``plan``, if it is of as many queries, has
        the same tiling, and paths only where this one has."""
        return Launch(
            plan=plan,
            num_queries=planned.num_queries,
            num_parts=max(self.max_parts, planned.num_queries),
            num_programs=self.num_programs,
            has_paths=planned.has_paths,
            heads=self.heads,
            tiling=planned.tiling,
            block_size=block_size,
        )


def planner_for(
    heads: HeadShape, dtype: torch.dtype, device: torch.device, *, is_deterministic: bool
) -> Planner:
    """``device``: a CUDA device, or the processor under Triton's interpreter."""
    num_processors = _num_processors(device)
    return Planner(
        heads=heads,
        low=tiling_of(heads, dtype.itemsize, is_tall=False),
        tall=tiling_of(heads, dtype.itemsize, is_tall=not is_deterministic),
        num_programs=max(1, PROGRAMS_PER_PROCESSOR * num_processors // heads.num_kv_heads),
        full_items=max(1, ITEMS_PER_PROCESSOR * num_processors // heads.num_kv_heads),
        max_parts=PART_BYTES // heads.part_bytes,
    )


def _num_processors(device: torch.device) -> int:
    if device.type != "cuda":
        return 1
    properties = torch.cuda.get_device_properties(device)  # pyright: ignore
    return properties.multi_processor_count  # pyright: ignore


def _most_views(plan: Plan) -> int:
    counts_I = plan.items_I5[:, 1] - plan.items_I5[:, 0]
    return int(counts_I.max(initial=0))

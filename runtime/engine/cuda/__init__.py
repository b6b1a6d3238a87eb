"""Attention for CUDA devices: kernels in Triton, plans for them, and captured decodes.

Nothing here imports Triton before ``load_kernels`` is called.
"""

from __future__ import annotations

from weft.runtime.engine.cuda.attention import KernelAttention
from weft.runtime.engine.cuda.launch import Kernels, Launch, attend_planned, load_kernels
from weft.runtime.engine.cuda.planner import Planned, Planner, planner_for
from weft.runtime.engine.cuda.segments import attend_segments_on_device
from weft.runtime.engine.cuda.tiling import HeadShape, Tiling
from weft.runtime.engine.cuda.views import Views, views_of

__all__ = [
    "HeadShape",
    "KernelAttention",
    "Kernels",
    "Launch",
    "Planned",
    "Planner",
    "Tiling",
    "Views",
    "attend_planned",
    "attend_segments_on_device",
    "load_kernels",
    "planner_for",
    "views_of",
]

"""Attention for CUDA devices: kernels in Triton, plans for them, and captured decodes.

Nothing here imports Triton before ``load_kernels`` is called.
"""

from __future__ import annotations

from weft.runtime.engine.cuda.attention import KernelAttention
from weft.runtime.engine.cuda.capture import CudaCapture
from weft.runtime.engine.cuda.graphs import Capture, DecodeGraphs, Recording, bucket_of
from weft.runtime.engine.cuda.launch import Kernels, Launch, attend_planned, load_kernels
from weft.runtime.engine.cuda.path import KernelPath, open_kernels
from weft.runtime.engine.cuda.plan import Plan, Room, plan_views
from weft.runtime.engine.cuda.planner import Planned, Planner, planner_for
from weft.runtime.engine.cuda.segments import attend_segments_on_device
from weft.runtime.engine.cuda.tiling import HeadShape, Tiling, tiling_of
from weft.runtime.engine.cuda.views import Views, views_of

__all__ = [
    "Capture",
    "CudaCapture",
    "DecodeGraphs",
    "HeadShape",
    "KernelAttention",
    "KernelPath",
    "Kernels",
    "Launch",
    "Plan",
    "Planned",
    "Planner",
    "Recording",
    "Room",
    "Tiling",
    "Views",
    "attend_planned",
    "attend_segments_on_device",
    "bucket_of",
    "load_kernels",
    "open_kernels",
    "plan_views",
    "planner_for",
    "tiling_of",
    "views_of",
]

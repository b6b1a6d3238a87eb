"""The engine's own kernels: C++ that is compiled for this processor at its first use."""

from __future__ import annotations

from weft.runtime.engine.native.library import KernelsMissing, cache_folder, load_kernels
from weft.runtime.engine.native.structs import Batch, Decoder, Heads, Kind, Layer, Paging, Weight

__all__ = [
    "Batch",
    "Decoder",
    "Heads",
    "KernelsMissing",
    "Kind",
    "Layer",
    "Paging",
    "Weight",
    "cache_folder",
    "load_kernels",
]

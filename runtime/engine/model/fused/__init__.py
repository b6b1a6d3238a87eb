"""Parts of a decoder that do in few operations what transformers' modules do in many.

Each equals the module it replaces up to the rounding of its dtype.
"""

from __future__ import annotations

from weft.runtime.engine.model.fused.fuse import fuse

__all__ = ["fuse"]

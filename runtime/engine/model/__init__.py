"""Models: checkpoints in, logits of packed batches out."""

from __future__ import annotations

from weft.runtime.engine.model.checkpoint import Checkpoint, open_checkpoint
from weft.runtime.engine.model.families import FAMILIES
from weft.runtime.engine.model.info import ModelInfo
from weft.runtime.engine.model.runner import ComputePath, ModelRunner
from weft.runtime.engine.model.source import resolve_source

__all__ = [
    "FAMILIES",
    "Checkpoint",
    "ComputePath",
    "ModelInfo",
    "ModelRunner",
    "open_checkpoint",
    "resolve_source",
]

"""How an embedded engine is set up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from weft.errors import InvalidRequest

__all__ = [
    "DTypeName",
    "DeviceName",
    "EngineConfig",
    "KVDTypeName",
    "SpeculationMode",
    "WeightsName",
]

DTypeName = Literal["auto", "float32", "bfloat16"]
DeviceName = Literal["auto", "cpu", "cuda"]
WeightsName = Literal["stored", "int8"]
KVDTypeName = Literal["auto", "int8"]
SpeculationMode = Literal["auto", "off"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """Sizes and modes of an embedded engine. Raises InvalidRequest at construction."""

    dtype: DTypeName = "auto"
    """``auto`` computes in the checkpoint's dtype where the device does so natively."""
    device: DeviceName = "auto"
    """``auto`` takes a CUDA device when there is one."""
    weights: WeightsName = "stored"
    """``int8`` rounds the weights to 8 bits as they are loaded: less memory, more speed, slightly
    other logits. UnsupportedFeature where weft's own kernels do not serve the model."""
    kv_dtype: KVDTypeName = "auto"
    """``auto`` keeps keys and values in the dtype that is computed in, ``int8`` rounds them to 8
    bits: more tokens in the same memory, slightly other logits. UnsupportedFeature where weft's
    own kernels do not serve the model."""
    block_size: int = 16
    """Token positions per KV block."""
    kv_bytes: int | None = None
    """Memory for keys and values; ``None`` takes a share of what is free now."""
    spill_bytes: int = 0
    """Host memory beside it for what Runs lose to others: read back, not computed again."""
    max_running: int = 256
    """Most sequences in one batch."""
    max_waiting: int = 65_536
    """Most sequences that may queue; beyond it a submit is refused with EngineOverloaded."""
    max_batch_tokens: int = 1024
    """Most tokens in one forward; longer prompts are computed in chunks."""
    is_deterministic: bool = False
    """The same seed gives the same tokens whatever else is in the batch; slower."""
    has_prefix_cache: bool = True
    """Share the KV of equal prompt prefixes."""
    speculation: SpeculationMode = "auto"
    """``auto`` guesses tokens ahead wherever that makes them come faster, and appends tokens that
    a grammar forces without a forward. What is drawn stays the same."""
    stream_interval_s: float = 0.01
    """A sequence's first token and its end are sent at once, tokens in between not sooner than so
    many seconds after those before: to read each by itself would hold up a small model. 0 sends
    all at once."""

    def __post_init__(self) -> None:
        for name in ("block_size", "max_running", "max_waiting", "max_batch_tokens"):
            value: int = getattr(self, name)
            if value < 1:
                raise InvalidRequest(f"{name} is {value!r}.", remedy="It must be at least 1.")
        if self.max_batch_tokens < self.max_running:
            raise InvalidRequest(
                f"max_batch_tokens is {self.max_batch_tokens!r}, "
                f"fewer than max_running {self.max_running!r}.",
                remedy="Every running sequence needs one token per forward.",
            )
        if not 0 <= self.stream_interval_s < math.inf:
            raise InvalidRequest(
                f"stream_interval_s is {self.stream_interval_s!r}.",
                remedy="It must be at least 0, and finite.",
            )
        if self.spill_bytes < 0:
            raise InvalidRequest(
                f"spill_bytes is {self.spill_bytes!r}.", remedy="It must be at least 0."
            )
        if self.kv_bytes is not None and self.kv_bytes < 1:
            raise InvalidRequest(f"kv_bytes is {self.kv_bytes!r}.", remedy="It must be positive.")

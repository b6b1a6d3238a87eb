"""Within what KV may be shared."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Namespace"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """Equal tokens have equal KV only under equal weights, and are shared only inside a tenant."""

    tenant: str = ""
    weights_version: int = 0
    adapter: str = ""
    """Name of the fine-tuning adapter applied; empty is the plain model."""
    behind: str = ""
    """Names what is seen before the first token; empty: nothing is."""

"""What one call of a tool needs, as its author says."""

from __future__ import annotations

from dataclasses import dataclass

from weft.errors import ToolDefinitionError

__all__ = ["ToolResources"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResources:
    """What one call needs. Raises ToolDefinitionError at construction."""

    memory_bytes: int | None = None
    """Its peak, where the author knows; None: it is learnt from the calls."""
    max_memory_bytes: int | None = None
    """What it can never pass, because it is confined; this much is reserved until enough calls
    were measured. None: nothing confines it."""

    def __post_init__(self) -> None:
        for name in ("memory_bytes", "max_memory_bytes"):
            value: int | None = getattr(self, name)
            if value is not None and value < 1:
                raise ToolDefinitionError(f"{name} is {value!r}.", remedy="It must be positive.")

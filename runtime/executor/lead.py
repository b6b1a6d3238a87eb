"""A Lead as tokens of the engine's vocabulary."""

from __future__ import annotations

from collections.abc import Iterator

from weft.programs.lead import Control, Lead
from weft.runtime.engine.protocol import Engine

__all__ = ["encode_lead"]


def encode_lead(lead: Lead, engine: Engine) -> tuple[int, ...]:
    """The tokens that follow the prompt. No encoding depends on its neighbours."""
    parts = (lead,) if isinstance(lead, str) else lead
    return tuple(token for part in parts if part != "" for token in _encode(part, engine))


def _encode(part: str | int | Control, engine: Engine) -> Iterator[int]:
    if isinstance(part, int):
        yield part
    elif isinstance(part, Control):
        yield from engine.encode(part.text, has_controls=True)
    else:
        yield from engine.encode(part)

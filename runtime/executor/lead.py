"""A Lead as tokens of the engine's vocabulary."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from weft.programs.handle import is_step
from weft.programs.lead import Control, Lead
from weft.programs.prompt import text_of
from weft.runtime.engine.protocol import Engine

__all__ = ["FilledLead", "encode_lead", "fill_lead"]

FilledLead: TypeAlias = tuple[str | int | Control, ...]
"""A Lead whose Steps have results; no text is empty, nor beside another."""


def fill_lead(lead: Lead) -> FilledLead:
    """The parts with results in place of Steps, which must be done and fine."""
    parts: list[str | int | Control] = []
    for part in (lead,) if isinstance(lead, str) else lead:
        given = text_of(part.result()) if is_step(part) else part
        last = parts[-1] if parts else None
        if isinstance(given, str) and isinstance(last, str):
            parts[-1] = last + given
        elif given != "":
            parts.append(given)
    return tuple(parts)


def encode_lead(lead: FilledLead, engine: Engine) -> tuple[int, ...]:
    """The tokens that follow the prompt."""
    return tuple(token_id for part in lead for token_id in _encode(part, engine))


def _encode(part: str | int | Control, engine: Engine) -> Iterator[int]:
    if isinstance(part, int):
        yield part
    elif isinstance(part, Control):
        yield from engine.encode(part.text, has_controls=True)
    else:
        yield from engine.encode(part)

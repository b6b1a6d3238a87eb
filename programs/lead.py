"""What the assistant has already begun to say when a generation starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

from weft.errors import InvalidRequest
from weft.programs.handle import Step

__all__ = ["Control", "Lead", "check_lead"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """Text in which control tokens count, such as ``<tool_call>``. A model that has no such token
    gets plain text. Never put into it what a person, a tool or a model wrote.
    """

    text: str = field(kw_only=False)


Lead: TypeAlias = str | tuple[str | int | Control | Step[Any], ...]
"""Plain text, whatever it spells; or parts in order: plain text, token ids taken as they are,
Controls, and un-awaited Steps, whose results are plain text (JSON, unless they are strings). Texts
that stand side by side are encoded as one."""


def check_lead(lead: object) -> Lead:
    """Raises: InvalidRequest for what is no Lead."""
    if isinstance(lead, str):
        return lead
    if isinstance(lead, tuple):
        parts = cast("tuple[object, ...]", lead)
        if all(isinstance(part, str | int | Control | Step) for part in parts):
            return cast("Lead", parts)
    raise InvalidRequest(
        f"lead is {lead!r}.",
        remedy="Give text, or a tuple of texts, token ids, Controls and Steps.",
    )

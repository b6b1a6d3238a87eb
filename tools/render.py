"""What a model reads of a tool's answer."""

from __future__ import annotations

import json
from typing import NamedTuple

from weft.errors import ToolError

__all__ = ["MAX_RENDERED_CHARS", "Rendered", "render_error", "render_result"]

MAX_RENDERED_CHARS = 8_000
"""Most characters of a tool's answer that a model is shown, unless told."""


class Rendered(NamedTuple):
    """Text for a tool message.

    It is data: control tokens in it stay as they are and must be encoded as plain text.
    """

    text: str
    num_dropped: int
    """Characters left out of the middle; 0 when the text is whole."""

    @property
    def is_truncated(self) -> bool:
        return self.num_dropped > 0


def render_result(data: object, *, max_chars: int = MAX_RENDERED_CHARS) -> Rendered:
    """Write JSON-shaped data for a model: a string as it is, anything else as JSON.

    What is longer than ``max_chars`` keeps its head and its tail around a line that says how much
    is missing; that line comes on top of ``max_chars``. Raises ValueError or TypeError for what
    is not data.
    """
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, allow_nan=False)
    num_dropped = len(text) - max_chars
    if num_dropped <= 0:
        return Rendered(text, 0)
    num_tail = max_chars // 2
    head, tail = text[: max_chars - num_tail], text[len(text) - num_tail :]
    return Rendered(f"{head}\n[{num_dropped} characters left out]\n{tail}", num_dropped)


def render_error(error: ToolError, *, max_chars: int = MAX_RENDERED_CHARS) -> Rendered:
    """Tell a model what went wrong with its call and what to do."""
    return render_result(f"Error: {error}", max_chars=max_chars)

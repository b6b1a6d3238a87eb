"""What is already certain of JSON that is still being written."""

from __future__ import annotations

from pydantic_core import from_json

__all__ = ["PartialJson"]

NUMBER_CHARACTERS = "0123456789+-.eE"
GROWTH = 16
"""Text is read again when it has grown by one part in this many: the sum stays n log n."""


class PartialJson:
    """Follows one sequence of structured output."""

    __slots__ = ("_next_size", "_value", "has_value")

    def __init__(self) -> None:
        self._next_size = 1
        self._value: object = None
        self.has_value = False

    @property
    def value(self) -> object:
        """The certain part as of the last change."""
        return self._value

    def grew(self, text: str) -> bool:
        """Whether the certain part of ``text`` differs from what was known."""
        if len(text) < self._next_size:
            return False
        self._next_size = len(text) + 1 + len(text) // GROWTH
        # A number at the very end may go on; an open string is left out by the parser.
        certain = text.rstrip(NUMBER_CHARACTERS)
        try:
            value: object = from_json(certain, allow_partial=True)
        except ValueError:
            return False
        if self.has_value and value == self._value:
            return False
        self._value = value
        self.has_value = True
        return True

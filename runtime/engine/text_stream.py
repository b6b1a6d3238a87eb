"""Tokens to text, one at a time: whole characters only, stop strings found and held back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tokenizers import Tokenizer

__all__ = ["Piece", "TextStream"]

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_MAX_OPEN_TOKENS = 8
"""A UTF-8 character has at most four bytes: a longer open end is not a character to come."""


class Piece(NamedTuple):
    """What one token made certain."""

    text: str
    is_stopped: bool
    """A stop string was completed; the text ends before it."""


class TextStream:
    """The text of one Sequence. Mutated by every push.

    Decoding is context dependent (leading spaces, characters over several tokens), so each step
    decodes a short window twice, without and with the new tokens, and takes the difference.
    """

    __slots__ = ("_held", "_num_read", "_stops", "_tokenizer", "_window")

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._stops = tuple(stops)
        self._window: list[int] = []
        self._num_read = 0
        self._held = ""

    def push(self, token_id: int, *, can_stop: bool = True) -> Piece:
        """Add a token. Text that could still become a stop string is held back.

        With ``can_stop`` false (minimum length not reached) stop strings pass as text.
        """
        self._window.append(token_id)
        text = self._read(is_last=False)
        if not self._stops:
            return Piece(text, False)
        self._held += text
        end = self._find_stop() if can_stop else -1
        if end >= 0:
            piece, self._held = self._held[:end], ""
            self._window.clear()
            self._num_read = 0
            return Piece(piece, True)
        return Piece(self._take_certain(), False)

    def flush(self) -> str:
        """The text still held back, when the Sequence ends for another reason."""
        text, self._held = self._held + self._read(is_last=True), ""
        return text

    def _read(self, *, is_last: bool) -> str:
        window, num_read = self._window, self._num_read
        if num_read == len(window):
            return ""
        after = self._tokenizer.decode(window, skip_special_tokens=True)
        num_open = len(window) - num_read
        if after.endswith(_REPLACEMENT) and num_open < _MAX_OPEN_TOKENS and not is_last:
            return ""
        before = self._tokenizer.decode(window[:num_read], skip_special_tokens=True)
        del window[:num_read]
        self._num_read = len(window)
        return after[len(before) :]

    def _find_stop(self) -> int:
        starts = [at for stop in self._stops if (at := self._held.find(stop)) >= 0]
        return min(starts, default=-1)

    def _take_certain(self) -> str:
        num_kept = max(_overlap(self._held, stop) for stop in self._stops)
        cut = len(self._held) - num_kept
        text, self._held = self._held[:cut], self._held[cut:]
        return text


def _overlap(text: str, stop: str) -> int:
    """Length of the longest proper prefix of ``stop`` that ends ``text``."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0

"""Tokens to text, one at a time: whole characters only, stop strings found and held back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tokenizers import Tokenizer, decoders

__all__ = ["Piece", "TextStream", "TokenTexts"]

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_MAX_OPEN_TOKENS = 8
"""A UTF-8 character has at most four bytes: a longer open end is not a character to come."""


class Piece(NamedTuple):
    """What one token made certain."""

    text: str
    is_stopped: bool
    """A stop string was completed; the text ends before it."""


class TokenTexts:
    """What tokens decode to by themselves, remembered; one per tokenizer.

    With byte-level tokens (GPT-2's scheme, as in Qwen and Llama 3) a token stands for the same
    bytes everywhere, so its text, where its bytes are whole characters, needs no context.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self._is_byte_level = isinstance(tokenizer.decoder, decoders.ByteLevel)
        self._texts: dict[int, str | None] = {}

    def alone(self, token_id: int) -> str | None:
        """The token's text wherever it stands after whole characters; ``None``: it depends."""
        try:
            return self._texts[token_id]
        except KeyError:
            text = self.tokenizer.decode([token_id], skip_special_tokens=True)
            is_fixed = self._is_byte_level and _REPLACEMENT not in text
            return self._texts.setdefault(token_id, text if is_fixed else None)


class TextStream:
    """The text of one Sequence. Mutated by every push.

    Where a token's text depends on its context (leading spaces, characters over several tokens),
    a step decodes a short window twice, without and with the new tokens, and takes the
    difference.
    """

    __slots__ = ("_held", "_num_read", "_stops", "_texts", "_window")

    def __init__(self, texts: TokenTexts, stops: Sequence[str]) -> None:
        self._texts = texts
        self._stops = tuple(stops)
        self._window: list[int] = []
        self._num_read = 0
        self._held = ""

    @property
    def has_stops(self) -> bool:
        """There are stop strings to look for: every token must be pushed as it comes."""
        return bool(self._stops)

    def push(self, token_id: int, *, can_stop: bool = True) -> Piece:
        """Add a token. Text that could still become a stop string is held back.

        With ``can_stop`` false (minimum length not reached) stop strings pass as text.
        """
        text = self._texts.alone(token_id)
        if text is None or self._num_read < len(self._window):
            self._window.append(token_id)
            text = self._read(is_last=False)
        else:
            # Only byte-level tokens come here, and none needs what was read before it.
            self._window.clear()
            self._num_read = 0
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

    def read(self, token_ids: Sequence[int]) -> str:
        """Add tokens where there are no stop strings: the sum of pushing each."""
        assert not self._stops, "stop strings are looked for token by token"
        if self._num_read == len(self._window):
            texts = [self._texts.alone(token_id) for token_id in token_ids]
            whole = [text for text in texts if text is not None]
            if texts and len(whole) == len(texts):
                self._window.clear()
                self._num_read = 0
                return "".join(whole)
        return "".join([self.push(token_id).text for token_id in token_ids])

    def flush(self) -> str:
        """The text still held back, when the Sequence ends for another reason."""
        text, self._held = self._held + self._read(is_last=True), ""
        return text

    def _read(self, *, is_last: bool) -> str:
        window, num_read = self._window, self._num_read
        if num_read == len(window):
            return ""
        after = self._texts.tokenizer.decode(window, skip_special_tokens=True)
        num_open = len(window) - num_read
        if after.endswith(_REPLACEMENT) and num_open < _MAX_OPEN_TOKENS and not is_last:
            return ""
        before = self._texts.tokenizer.decode(window[:num_read], skip_special_tokens=True)
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

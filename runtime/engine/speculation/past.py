"""What sequences that may share their KV have written, so that others may guess from it."""

from __future__ import annotations

from collections.abc import Sequence

from weft.cache import Namespace
from weft.runtime.engine.speculation.echoes import SEPARATOR, EchoIndex
from weft.runtime.engine.speculation.rates import HitRates

__all__ = ["Past", "Pasts"]

MAX_TOKENS = 1 << 16
MAX_NAMESPACES = 64
_NUM_BEFORE = 4
"""Prompt tokens kept before an output, so that its beginning can be found."""


class Past:
    """The outputs of one Namespace, the oldest half forgotten when there are too many."""

    __slots__ = ("index", "rates")

    def __init__(self) -> None:
        self.index = EchoIndex([])
        self.rates = HitRates()

    def remember(self, tokens: Sequence[int], num_prompt: int) -> None:
        """Keep a finished sequence's output."""
        run = tokens[max(0, num_prompt - _NUM_BEFORE) :]
        kept = self.index.tokens
        if len(kept) + len(run) >= MAX_TOKENS:
            self.index = EchoIndex(kept[len(kept) // 2 :])
        self.index.tokens.extend(run[-MAX_TOKENS // 2 :])
        self.index.tokens.append(SEPARATOR)


class Pasts:
    """The Past of every Namespace, the least recently used forgotten when there are too many."""

    def __init__(self) -> None:
        self._pasts: dict[Namespace, Past] = {}

    def of(self, namespace: Namespace) -> Past:
        past = self._pasts.pop(namespace, None) or Past()
        self._pasts[namespace] = past
        if len(self._pasts) > MAX_NAMESPACES:
            del self._pasts[next(iter(self._pasts))]
        return past

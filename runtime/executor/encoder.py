"""What a Run has encoded before, so that a context which grows costs what is new in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from weft.programs.request import Completion
from weft.runtime.engine.protocol import Engine

__all__ = ["RunEncoder"]

MAX_CHARS = 4_000_000
"""Of all texts that are remembered; then all are forgotten, and some are encoded once more."""

Tokens = tuple[int, ...]


class RunEncoder:
    """Remembers the tokens of texts, and of what was written, for the length of one Run."""

    __slots__ = ("_engine", "_num_chars", "_texts", "_written")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._texts: dict[tuple[str, bool], Tokens] = {}
        self._written: dict[int, tuple[Completion, Tokens]] = {}
        """By identity, which is theirs as long as they are kept here."""
        self._num_chars = 0

    def encode(self, text: str, *, has_controls: bool = False) -> Tokens:
        known = self._texts.get((text, has_controls))
        if known is None:
            known = self._engine.encode(text, has_controls=has_controls)
            self._count(len(text))
            self._texts[text, has_controls] = known
        return known

    def decode(self, token_ids: Sequence[int]) -> str:
        return self._engine.decode(token_ids)

    def written(
        self, completion: Completion, encode: Callable[[Completion], Iterable[int]]
    ) -> Tokens:
        """The tokens that ``encode`` gives for it."""
        known = self._written.get(id(completion))
        if known is None:
            known = completion, tuple(encode(completion))
            self._count(len(completion.text))
            self._written[id(completion)] = known
        return known[1]

    def _count(self, num_chars: int) -> None:
        self._num_chars += num_chars
        if self._num_chars > MAX_CHARS:
            self._texts.clear()
            self._written.clear()
            self._num_chars = num_chars

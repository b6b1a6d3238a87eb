"""Where one sequence stands in its grammar."""

from __future__ import annotations

from collections.abc import Sequence

import xgrammar

__all__ = ["Matcher"]


class Matcher:
    """Follows the tokens of one sequence. Mutable, for one thread at a time."""

    __slots__ = ("handle",)

    def __init__(self, handle: xgrammar.GrammarMatcher) -> None:
        self.handle = handle
        """xgrammar's own matcher, for filling masks."""

    @classmethod
    def of(
        cls, grammar: xgrammar.CompiledGrammar, stop_token_ids: Sequence[int] | None = None
    ) -> Matcher:
        """At the start of ``grammar``; ``stop_token_ids`` replaces the vocabulary's."""
        stops = None if stop_token_ids is None else list(stop_token_ids)
        return cls(xgrammar.GrammarMatcher(grammar, override_stop_tokens=stops))

    @property
    def is_completed(self) -> bool:
        """What was accepted is a whole output; more may still be allowed."""
        return self.handle.is_completed()

    @property
    def is_terminated(self) -> bool:
        """A stop token was accepted: nothing more is allowed."""
        return self.handle.is_terminated()

    def accept(self, token_id: int) -> bool:
        """Advance by one token. False, with nothing changed, when it is not allowed."""
        return not self.is_terminated and self.handle.accept_token(token_id)

    def fork(self) -> Matcher:
        """A matcher at the same place; the two then go separate ways."""
        return Matcher(self.handle.fork())

    def rollback(self, num_tokens: int) -> None:
        """Undo the last accepted tokens."""
        self.handle.rollback(num_tokens)

    def find_jump_forward(self) -> str:
        """The text that must come next whatever is drawn; empty when there is a choice."""
        if self.is_terminated:
            return ""
        try:
            return self.handle.find_jump_forward_string()
        except UnicodeDecodeError as error:
            # It begins or ends inside a character; what comes before that is certain too.
            return error.object[: error.start].decode()

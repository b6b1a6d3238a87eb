"""One grammar for a whole draft: moved along its branches instead of copied for every node."""

from __future__ import annotations

from weft.runtime.engine.speculation.draft import Draft
from weft.runtime.grammar import Matcher

__all__ = ["GrammarWalk"]


class GrammarWalk:
    """Moves a sequence's matcher through the sequence's draft. ``stand(ROOT)`` puts it back."""

    __slots__ = ("_draft", "_matcher", "_path")

    def __init__(self, matcher: Matcher, draft: Draft) -> None:
        self._matcher = matcher
        self._draft = draft
        self._path: list[int] = []

    def stand(self, node: int) -> None:
        """Have the matcher accept what leads to ``node``, itself included, and nothing else."""
        wanted = self._draft.path(node)
        num_shared = 0
        for number, other in zip(self._path, wanted, strict=False):
            if number != other:
                break
            num_shared += 1
        if num_shared < len(self._path):
            self._matcher.rollback(len(self._path) - num_shared)
        for number in wanted[num_shared:]:
            is_accepted = self._matcher.accept(self._draft.nodes[number].token_id)
            assert is_accepted, "a guess in a draft that its grammar refuses"
        self._path = wanted

    def try_extend(self, parent: int, token_id: int) -> bool:
        """Whether ``token_id`` may follow ``parent`` and be followed by others itself. If so it
        must be the draft's next node."""
        self.stand(parent)
        if not self._matcher.accept(token_id):
            return False
        if self._matcher.is_terminated:
            self._matcher.rollback(1)
            return False
        self._path.append(len(self._draft))
        return True

"""One Run, as it is told to the scheduler."""

from __future__ import annotations

from collections import deque

from weft.runtime.dispatch.prefixes import num_shared
from weft.runtime.dispatch.successors import Successors
from weft.runtime.engine.programs import ProgramStart
from weft.runtime.scheduler.accounts import ToolRun

__all__ = ["OpenProgram"]

NUM_CONTEXTS = 8
"""Newest contexts of one Run in which the next prompt is looked for: its branches."""


class OpenProgram:
    """What a Run has computed so far, and how long it worked."""

    def __init__(self, start: ProgramStart, now_s: float) -> None:
        self.start = start
        self.began_s = now_s
        self.has_arrived = False
        """The scheduler knows it: from its first call on."""
        self.prefix_tokens = 0
        """What it is taken to share with others: every context counts as having as much."""
        self.waited_s = 0.0
        """Of its calls, in the line."""
        self.work_s: list[float] = []
        """Seconds of work at each answer."""
        self.left_s = now_s
        """When a call of it was last answered or given up; before that, when it began."""
        self.tools: dict[str, ToolRun] = {}
        """In flight, by lineage."""
        self.successors = Successors()
        self._contexts: deque[tuple[int, ...]] = deque(maxlen=NUM_CONTEXTS)

    @property
    def context(self) -> tuple[int, ...]:
        """What its next call is most likely to begin with."""
        return self._contexts[-1] if self._contexts else ()

    def num_new(self, prompt: tuple[int, ...]) -> int:
        """Tokens of a prompt that no earlier call of the Run had."""
        known = max((num_shared(one, prompt) for one in self._contexts), default=0)
        return len(prompt) - known

    def keep(self, context: tuple[int, ...]) -> None:
        """A call was answered, and leaves this."""
        self._contexts.append(context)

    def worked_s(self, now_s: float) -> float:
        return max(0.0, now_s - self.began_s - self.waited_s)

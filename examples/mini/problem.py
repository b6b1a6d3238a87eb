"""One generated problem, and the hash that keeps held-out problems out of training."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

JsonValue = None | bool | int | float | str | Sequence["JsonValue"] | Mapping[str, "JsonValue"]
"""What a problem may hold: it is written as one JSON line."""

HELDOUT_ONE_IN = 12
"""One problem of this many is held out, chosen by the hash of its key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A prompt, the assistant text that solves it, and how an answer is checked."""

    skill: str
    """Name of the held-out file the problem belongs to."""
    key: str
    """What makes it the same problem: every wording of one key falls on one side of the split."""
    messages: Sequence[Mapping[str, JsonValue]]
    """The whole dialogue of a training document, the assistant turns included."""
    num_prompt: int
    """How many leading messages are the prompt of the held-out problem."""
    check: Mapping[str, JsonValue]
    """A check of `weft.runtime.model.checks`."""
    tools: Sequence[Mapping[str, JsonValue]] | None = None
    """JSON schemas of the tools shown in the system turn; None when there are none."""
    choices: Mapping[int, Mapping[str, float]] = field(
        default_factory=dict[int, Mapping[str, float]]
    )
    """For the index of an assistant message: every right text with its share, which sum to 1.

    Training on all of them at once tells far more than one of them drawn by chance."""

    @property
    def is_heldout(self) -> bool:
        """Whether training must never see this problem."""
        return is_heldout(self.skill, self.key)


Generator = Callable[[Random], Problem]
"""Draws one problem, held out or not."""


def is_heldout(skill: str, key: str) -> bool:
    """Say on which side of the split a key falls; the same on every machine."""
    digest = hashlib.sha256(f"{skill}\n{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % HELDOUT_ONE_IN == 0


def dialogue(system: str | None, *turns: str) -> list[dict[str, JsonValue]]:
    """Build messages from an optional system text and alternating user and assistant turns."""
    messages: list[dict[str, JsonValue]] = []
    if system is not None:
        messages.append({"role": "system", "content": system})
    for index, turn in enumerate(turns):
        messages.append({"role": ("user", "assistant")[index % 2], "content": turn})
    return messages

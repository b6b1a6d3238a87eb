"""What prompts have in common, in tokens."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Prefix", "Prefixes", "num_shared"]

MAX_PROGRAMS = 1024
FEWEST_TOKENS = 32
"""Less in common is not worth a name."""
STRIDE = 256


class Prefix(NamedTuple):
    name: str
    """Alike for all who share it; empty: nothing is shared."""
    num_tokens: int


NOTHING = Prefix("", 0)


class Prefixes:
    """How the Runs of each program begin, learnt from their first prompts in bounded memory."""

    def __init__(self) -> None:
        self._beginnings: dict[tuple[str, str], tuple[int, ...]] = {}

    def share(self, tenant: str, path: str, prompt: tuple[int, ...]) -> Prefix:
        """What a Run's first prompt shares with those of all Runs of the program before it."""
        key = (tenant, path)
        known = self._beginnings.pop(key, None)
        if known is None:
            shared, prefix = prompt, NOTHING
        else:
            shared = prompt[: num_shared(known, prompt)]
            prefix = _named(key, shared)
        self._beginnings[key] = shared
        if len(self._beginnings) > MAX_PROGRAMS:
            del self._beginnings[next(iter(self._beginnings))]
        return prefix


def num_shared(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """Leading tokens that are equal."""
    most = min(len(one), len(other))
    at = 0
    while at < most and one[at : at + STRIDE] == other[at : at + STRIDE]:
        at += STRIDE
    at = min(at, most)
    while at < most and one[at] == other[at]:
        at += 1
    return at


def _named(key: tuple[str, str], tokens: tuple[int, ...]) -> Prefix:
    if len(tokens) < FEWEST_TOKENS:
        return NOTHING
    return Prefix(f"{key[0]}/{key[1]}/{len(tokens)}", len(tokens))

"""What prompts have in common, in tokens."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Prefix", "Prefixes", "num_shared"]

MAX_PROGRAMS = 1024
FEWEST_TOKENS = 32
"""Less in common is not worth a name."""
MAX_BEGINNINGS = 16
"""Of one program; the one that was met longest ago is forgotten."""
STRIDE = 256


class Prefix(NamedTuple):
    name: str
    """Alike for all who share it; empty: nothing is shared."""
    num_tokens: int


NOTHING = Prefix("", 0)


class Prefixes:
    """How the Runs of each program begin, learnt from their first prompts in bounded memory. A
    program may have several beginnings: one for each role, or each document."""

    def __init__(self) -> None:
        self._beginnings: dict[tuple[str, str], list[tuple[int, ...]]] = {}

    def share(self, tenant: str, path: str, prompt: tuple[int, ...]) -> Prefix:
        """What a Run's first prompt shares with that of an earlier Run of the program, as much as
        all Runs have in common that began like it."""
        key = (tenant, path)
        known = self._beginnings.pop(key, [])
        self._beginnings[key] = known
        if len(self._beginnings) > MAX_PROGRAMS:
            del self._beginnings[next(iter(self._beginnings))]
        lengths = [num_shared(one, prompt) for one in known]
        longest = max(lengths, default=0)
        if longest < FEWEST_TOKENS:
            known.append(prompt)
            del known[:-MAX_BEGINNINGS]
            return NOTHING
        known.pop(lengths.index(longest))
        shared = prompt[:longest]
        known.append(shared)
        return Prefix(f"{tenant}/{path}/{longest}/{hash(shared):x}", longest)


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

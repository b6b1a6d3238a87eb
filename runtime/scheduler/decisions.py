"""What the scheduler decides. A decision is a fact from the moment it is made."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from weft.runtime.scheduler.facts import OutsideFact

__all__ = [
    "Decided",
    "Decision",
    "Demote",
    "Dispatch",
    "Entry",
    "Evict",
    "Fact",
    "Pause",
    "Prefetch",
    "Refuse",
]


class Dispatch(NamedTuple):
    """Run a call on a replica; where its program's KV was given up, restore it there.

    Demoted KV is read back where it lies; on any other replica it is computed anew, and what was
    demoted is given up.
    """

    at_s: float
    program: str
    call: str
    replica: str


class Evict(NamedTuple):
    """Give up an idle program's KV, demoted or not; its next call keeps its place in the line."""

    at_s: float
    program: str
    replica: str


class Demote(NamedTuple):
    """Move what an idle program alone holds out of the KV pool, to be read back there.

    What it shares with others stays with them.
    """

    at_s: float
    program: str
    replica: str


class Pause(NamedTuple):
    """Give up an idle program's KV, if it has any, and hold its calls until it is admitted anew.

    The Dispatch of one of its calls ends the pause.
    """

    at_s: float
    program: str


class Prefetch(NamedTuple):
    """Read a demoted program's KV back before its tool returns, as a Dispatch would."""

    at_s: float
    program: str
    replica: str


class Refuse(NamedTuple):
    """A call that no replica could hold, even empty: it leaves the line, its program must know."""

    at_s: float
    program: str
    call: str


Decision: TypeAlias = Demote | Dispatch | Evict | Pause | Prefetch | Refuse
Fact: TypeAlias = OutsideFact | Decision


class Decided(NamedTuple):
    """What was decided at one time, in the order in which it is to be done."""

    at_s: float
    decisions: tuple[Decision, ...]


Entry: TypeAlias = OutsideFact | Decided
"""Of a log: what was told, and what was decided."""

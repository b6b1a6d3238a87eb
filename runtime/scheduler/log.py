"""Facts and decisions as lines of JSON, and their replay."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from weft.errors import JournalCorrupt, ReplayMismatch
from weft.runtime.scheduler import facts
from weft.runtime.scheduler.decisions import (
    Decided,
    Decision,
    Demote,
    Dispatch,
    Entry,
    Evict,
    Pause,
    Prefetch,
    Refuse,
)
from weft.runtime.scheduler.facts import OutsideFact
from weft.runtime.scheduler.policy import SchedulingPolicy
from weft.runtime.scheduler.scheduler import DEFAULT_WINDOW, Scheduler

__all__ = ["decode_entry", "encode_entry", "replay"]

# Any: each kind checks its own fields by their number, and the scheduler what they mean.
KINDS: Mapping[str, Callable[..., Any]] = {
    kind.__name__: kind
    for kind in (
        facts.CallAnswered,
        facts.CallAsked,
        facts.CallCancelled,
        facts.CallGrew,
        facts.KvLost,
        facts.ProgramArrived,
        facts.ProgramEnded,
        facts.ReplicaLeft,
        facts.ReplicaSized,
        facts.SuccessorsKnown,
        facts.ToolReturned,
        facts.ToolStarted,
        Demote,
        Dispatch,
        Evict,
        Pause,
        Prefetch,
        Refuse,
    )
}


def encode_entry(entry: Entry) -> str:
    """One line: the kind and the fields in their order."""
    if isinstance(entry, Decided):
        return json.dumps(["Decided", entry.at_s, [_listed(one) for one in entry.decisions]])
    return json.dumps(_listed(entry))


def decode_entry(line: str) -> Entry:
    """The entry of a line. Raises JournalCorrupt for what ``encode_entry`` never writes."""
    try:
        kind, *fields = json.loads(line)
        if kind == "Decided":
            at_s, decisions = fields
            return Decided(at_s, tuple(_made(*one) for one in decisions))
        fact: OutsideFact = _made(kind, *fields)
        return fact
    except (KeyError, TypeError, ValueError) as error:
        raise JournalCorrupt(
            f"No entry of a scheduler's log: {line[:200]!r}.", remedy="Give lines as written."
        ) from error


def replay(
    entries: Iterable[Entry], policy: SchedulingPolicy, *, window: int = DEFAULT_WINDOW
) -> Scheduler:
    """Tell a new scheduler the same facts and compare what it decides; it is returned.

    ``policy`` is new and has the options of the one that decided, ``window`` likewise. Raises
    ReplayMismatch with the first decisions that differ.
    """
    scheduler = Scheduler(policy, window=window)
    for entry in entries:
        if not isinstance(entry, Decided):
            scheduler.tell(entry)
            continue
        decided = tuple(scheduler.decide(entry.at_s))
        if decided != entry.decisions:
            raise ReplayMismatch(
                f"At {entry.at_s!r} s {_first_difference(entry.decisions, decided)}.",
                remedy="Replay with the policy, options and version that wrote the log.",
            )
    return scheduler


def _listed(fact: OutsideFact | Decision) -> list[object]:
    return [type(fact).__name__, *fact]


def _made(kind: str, *fields: Any) -> Any:
    values: list[object] = [
        tuple(cast("list[object]", field)) if isinstance(field, list) else field for field in fields
    ]
    return KINDS[kind](*values)


def _first_difference(recorded: tuple[Decision, ...], decided: tuple[Decision, ...]) -> str:
    for before, now in zip(recorded, decided, strict=False):
        if before != now:
            return f"{before!r} was decided, and now {now!r}"
    return f"{len(recorded)} decisions were taken, and now {len(decided)}"

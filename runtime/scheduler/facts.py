"""What the scheduler is told: facts, each with its time, and nothing else.

Times are seconds of one monotonic clock, sizes are tokens. Ids are the caller's; those of calls and
tool runs are unique among all that are open.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

__all__ = [
    "CallAnswered",
    "CallAsked",
    "CallCancelled",
    "CallGrew",
    "KvLost",
    "OutsideFact",
    "ProgramArrived",
    "ProgramEnded",
    "ReplicaLeft",
    "ReplicaSized",
    "SuccessorsKnown",
    "ToolReturned",
    "ToolStarted",
]


class ReplicaSized(NamedTuple):
    """A replica of the engine is there, or its size has changed."""

    at_s: float
    replica: str
    capacity_tokens: int
    """KV tokens that it can hold."""
    max_calls: int = 256
    """Calls that it can run at once."""
    spill_tokens: int = 0
    """KV tokens that can be kept beside it, in host memory or a file."""


class ReplicaLeft(NamedTuple):
    """A replica is gone with all that it held; the calls that it ran wait again."""

    at_s: float
    replica: str


class ProgramArrived(NamedTuple):
    at_s: float
    program: str
    tenant: str = ""
    priority: int = 0
    """Larger goes first, as for an engine's Requests."""
    deadline_s: float | None = None
    """The time (not the span) by which it should have ended; None: whenever."""
    prefix: str = ""
    """What its contexts begin with, named alike by all who share it; empty: nothing."""
    prefix_tokens: int = 0
    budget_tokens: int | None = None
    """Output that it may still be given; None: no limit."""


class CallAsked(NamedTuple):
    """A program wants a generation; it waits until it is dispatched."""

    at_s: float
    program: str
    call: str
    context_tokens: int
    """The whole prompt."""
    new_tokens: int
    """Those of it that no earlier call of the program has had."""
    expected_output_tokens: int
    parents: tuple[str, ...] | None = None
    """Calls whose results it needed; None: all that were answered."""


class CallGrew(NamedTuple):
    """A running call has so many output tokens; told at least once its prompt is computed."""

    at_s: float
    call: str
    output_tokens: int


class CallAnswered(NamedTuple):
    at_s: float
    call: str
    output_tokens: int
    context_tokens: int
    """What the program's next call is likely to begin with, prompt and output."""


class CallCancelled(NamedTuple):
    """A waiting or running call is not wanted any more: a branch that lost, a timeout."""

    at_s: float
    call: str


class ToolStarted(NamedTuple):
    at_s: float
    program: str
    tool: str
    tool_run: str
    """This one execution of it."""


class ToolReturned(NamedTuple):
    at_s: float
    program: str
    tool_run: str


class SuccessorsKnown(NamedTuple):
    """What is left of a program on its critical path, the open call included."""

    at_s: float
    program: str
    steps_left: int
    seconds_left: float


class KvLost(NamedTuple):
    """A replica gave up an idle program's KV by itself."""

    at_s: float
    program: str


class ProgramEnded(NamedTuple):
    """All that a program held is free from here on."""

    at_s: float
    program: str
    reason: Literal["ended", "cancelled", "disconnected"] = "ended"


OutsideFact: TypeAlias = (
    ReplicaSized
    | ReplicaLeft
    | ProgramArrived
    | CallAsked
    | CallGrew
    | CallAnswered
    | CallCancelled
    | ToolStarted
    | ToolReturned
    | SuccessorsKnown
    | KvLost
    | ProgramEnded
)

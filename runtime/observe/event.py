"""The one typed stream of what happens in a Run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from weft.runtime.observe.usage import Usage

__all__ = [
    "Event",
    "PartialEvent",
    "ProgressEvent",
    "ResultEvent",
    "RunEvent",
    "StepEvent",
    "StepKind",
    "StepPhase",
    "TokenEvent",
]

StepKind = Literal["program", "gen", "tool", "verifier", "step"]
StepPhase = Literal["submitted", "started", "retrying", "finished", "failed", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """What every event carries."""

    run_id: str
    seq: int
    """1, 2, 3 … within the Run, without gaps: a reader resumes after the last one it saw."""
    time_s: float
    """Seconds on the Run's clock since the Run started."""
    lineage: str
    """The Step it speaks of; the Run's own root lineage for RunEvent and ResultEvent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvent(_Head):
    """A Run starts or ends."""

    program: str
    phase: Literal["started", "finished", "failed", "cancelled"]
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEvent(_Head):
    """A Step changes phase."""

    name: str
    kind: StepKind
    phase: StepPhase
    parent: str
    """Lineage of the enclosing program Step; empty for the root."""
    inputs: tuple[str, ...] = ()
    """Lineages of the Steps whose results it takes (data edges); given when submitted."""
    after: tuple[str, ...] = ()
    """Lineages of the Steps whose results the code had read before (control edges); given when
    submitted."""
    summary: str = ""
    """One short line for people: the prompt's end, the arguments, the result, the error."""
    usage: Usage = Usage()
    """Filled in when the Step ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenEvent(_Head):
    """Text that a generating Step just produced."""

    index: int
    """Which of the Step's n sequences."""
    text: str
    num_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialEvent(_Head):
    """The part of a structured output that is already certain, as JSON-shaped data."""

    index: int
    value: object


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressEvent(_Head):
    """A program's own words about where it is."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultEvent(_Head):
    """The Run's result as JSON-shaped data; the last event but the closing RunEvent."""

    value: object


Event = RunEvent | StepEvent | TokenEvent | PartialEvent | ProgressEvent | ResultEvent

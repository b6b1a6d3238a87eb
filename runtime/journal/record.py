"""What the journal keeps of Runs and Steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from weft.runtime.observe.event import StepKind
from weft.runtime.observe.usage import Usage

__all__ = ["RunRecord", "RunStatus", "StepRecord", "StepStatus"]

RunStatus = Literal["running", "finished", "failed", "cancelled"]
StepStatus = Literal["started", "finished", "failed", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One execution of a program."""

    run_id: str
    program: str
    """``module:name``."""
    fingerprint: str
    """Hash of the program's source, so that changed code is noticed."""
    seed: int
    input_json: str
    status: RunStatus
    output_json: str | None
    """The result; ``None`` until finished."""
    error: str
    started_at: float
    """Seconds since the epoch."""
    ended_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """One execution of one Step, keyed by (run_id, lineage)."""

    run_id: str
    lineage: str
    name: str
    kind: StepKind
    parent: str
    inputs: tuple[str, ...]
    """Lineages of the Steps it took data from."""
    input_hash: str
    """Hash of everything the result depends on: resolved arguments, sampling, grammar, seed."""
    input_json: str
    status: StepStatus
    output_json: str | None
    """For a generation: text, token ids, log-probabilities and finish reason per sequence."""
    error: str
    num_attempts: int
    usage: Usage
    started_at: float
    ended_at: float | None

"""What a scheduled engine does at one moment, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from weft.errors import UnsupportedFeature
from weft.runtime.scheduler.accounts import Phase

__all__ = ["DecisionCounts", "ProgramSnapshot", "ReplicaSnapshot", "Snapshot", "ToolSnapshot"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSnapshot:
    """The calls in flight of one tool, of one program."""

    tool: str
    num_running: int
    longest_s: float
    """How long the oldest of them has run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramSnapshot:
    """One open program."""

    run_id: str
    path: str
    """Which program it is; empty for a Request of no Run."""
    tenant: str
    phase: Phase
    phase_s: float
    """For how long; of ``generating``, the time that its oldest running call has had."""
    replica: str | None
    """Where its KV is, demoted or not; None: nowhere."""
    kv_tokens: int
    """Held in the KV pool, rounded; a shared prefix is divided by those who share it."""
    demoted_tokens: int
    num_waiting: int
    """Calls in the line."""
    num_running: int
    num_tools: int
    """Tool calls in flight."""
    tools: tuple[ToolSnapshot, ...]
    """The same by tool, longest first, and no more than a few."""
    steps_done: int
    """Calls answered."""
    steps_left: int | None
    """Calls still to come on the critical path, open ones included; None: unknown."""
    deadline_left_s: float | None
    """Negative: it is late. None: it has no deadline."""
    attained_s: float
    """Service of its answered calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaSnapshot:
    """One replica's KV, in tokens, and its calls."""

    replica: str
    used_tokens: int
    """May be above the capacity: outputs grow beyond what was expected."""
    capacity_tokens: int
    spilled_tokens: int
    """Demoted from it."""
    spill_capacity_tokens: int
    num_running: int
    max_running: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionCounts:
    """How often each decision was carried out."""

    num_dispatches: int = 0
    num_evictions: int = 0
    num_demotions: int = 0
    num_pauses: int = 0
    num_prefetches: int = 0
    num_refusals: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Programs, replicas, the line and what was decided. Counts begin with the scheduler."""

    pid: int
    engine: str
    policy: str
    open_s: float
    """Seconds since the scheduler began."""
    programs: tuple[ProgramSnapshot, ...]
    """Those that generate first, then those that wait, larger KV before smaller."""
    num_left_out: int
    """Open programs beyond those listed."""
    num_by_phase: Mapping[Phase, int]
    """Of all open programs, listed or not."""
    replicas: tuple[ReplicaSnapshot, ...]
    num_waiting: int
    """Calls in the line."""
    oldest_wait_s: float
    """How long the oldest of them has waited; 0: the line is empty."""
    decisions: DecisionCounts
    hit_rate: float
    """The share of prompt tokens that were cached; 0 before any prompt."""
    tokens_per_s: float
    """Generated, over the last second at least, or since a Snapshot was last taken."""
    num_generated_tokens: int
    num_preemptions: int

    @property
    def num_programs(self) -> int:
        return len(self.programs) + self.num_left_out

    def to_json(self) -> bytes:
        """One line, without its end."""
        return _ADAPTER.dump_json(self)

    @staticmethod
    def from_json(line: bytes) -> Snapshot:
        """Raises UnsupportedFeature for what another version of weft may have written."""
        try:
            return _ADAPTER.validate_json(line)
        except ValidationError as error:
            raise UnsupportedFeature(
                f"This is no snapshot that this weft reads: {line[:80]!r}.",
                remedy="Watch a process with the version of weft that it runs.",
            ) from error


_ADAPTER = TypeAdapter(Snapshot)

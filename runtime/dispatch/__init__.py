"""Between programs and engines: whose Requests are served when, where, and whose KV stays."""

from __future__ import annotations

from weft.runtime.dispatch.costs import measure_costs
from weft.runtime.dispatch.fitting import Work, fit_costs
from weft.runtime.dispatch.scheduled import ScheduledEngine
from weft.runtime.dispatch.snapshot import (
    DecisionCounts,
    ProgramSnapshot,
    ReplicaSnapshot,
    Snapshot,
    ToolSnapshot,
)

__all__ = [
    "DecisionCounts",
    "ProgramSnapshot",
    "ReplicaSnapshot",
    "ScheduledEngine",
    "Snapshot",
    "ToolSnapshot",
    "Work",
    "fit_costs",
    "measure_costs",
]

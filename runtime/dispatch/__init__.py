"""Between programs and engines: whose Requests are served when, where, and whose KV stays."""

from __future__ import annotations

from weft.runtime.dispatch.costs import measure_costs
from weft.runtime.dispatch.scheduled import ScheduledEngine

__all__ = ["ScheduledEngine", "measure_costs"]

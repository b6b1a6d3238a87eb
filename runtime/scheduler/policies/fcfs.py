"""First come first served, with a prefix cache that forgets what was used longest ago."""

from __future__ import annotations

from weft.runtime.scheduler.policy import SchedulingPolicy

__all__ = ["FcfsPolicy"]


class FcfsPolicy(SchedulingPolicy):
    """What request-level engines do: calls in order, the first that does not fit stops the line.

    With several replicas each call that does not fit stops one of them.
    """

    name = "fcfs"

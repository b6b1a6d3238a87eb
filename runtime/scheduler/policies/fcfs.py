"""First come first served, with a prefix cache that forgets what was used longest ago."""

from __future__ import annotations

from weft.runtime.scheduler.costs import Costs
from weft.runtime.scheduler.policy import SchedulingPolicy

__all__ = ["FcfsPolicy"]


class FcfsPolicy(SchedulingPolicy):
    """What request-level engines do: calls in order, the first that does not fit stops the line.

    With several replicas each call that does not fit stops one of them. With ``demotes``, what
    goes is kept outside the KV pool where there is room, and what was used longest ago goes from
    there: as engines do that offload their prefix cache.
    """

    name = "fcfs"

    def __init__(self, costs: Costs | None = None, *, demotes: bool = False) -> None:
        super().__init__(costs)
        self.demotes = bool(demotes)

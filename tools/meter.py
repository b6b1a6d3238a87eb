"""What a running call tells of itself: what only the tool's own code can know."""

from __future__ import annotations

from contextvars import ContextVar

__all__ = ["METER", "Meter", "note_usage"]


class Meter:
    """What one call of a tool was seen to use."""

    __slots__ = ("is_timed_out", "peak_memory_bytes")

    def __init__(self) -> None:
        self.peak_memory_bytes: int | None = None
        """None where nobody measured it."""
        self.is_timed_out = False
        """It gave a result, which is that its time was over."""


METER: ContextVar[Meter | None] = ContextVar("weft_meter", default=None)
"""The meter of the call that the running code serves; threads and tasks of the call see it too."""


def note_usage(*, peak_memory_bytes: int | None = None, is_timed_out: bool = False) -> None:
    """Say what a part of the running call used. Does nothing where nobody measures."""
    meter = METER.get()
    if meter is not None:
        if peak_memory_bytes is not None:
            meter.peak_memory_bytes = max(meter.peak_memory_bytes or 0, peak_memory_bytes)
        meter.is_timed_out = meter.is_timed_out or is_timed_out

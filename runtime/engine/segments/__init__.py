"""Attention over lists of KV segments, each at an offset of its own."""

from weft.runtime.engine.segments.explicit import attend_explicitly, merge
from weft.runtime.engine.segments.fast import attend_segments
from weft.runtime.engine.segments.segment import Angles, Attended, Queries, Segment, View

__all__ = [
    "Angles",
    "Attended",
    "Queries",
    "Segment",
    "View",
    "attend_explicitly",
    "attend_segments",
    "merge",
]

"""What happens in a Run: one typed stream of events, and what can be made of it."""

from __future__ import annotations

from weft.runtime.observe.bus import EventLog, Observer
from weft.runtime.observe.event import (
    Event,
    PartialEvent,
    ProgressEvent,
    ResultEvent,
    RunEvent,
    StepEvent,
    StepKind,
    StepPhase,
    TokenEvent,
)
from weft.runtime.observe.live import LiveTree
from weft.runtime.observe.plain import PlainLines
from weft.runtime.observe.summary import Summary, summarise
from weft.runtime.observe.trace_html import StepDetail, trace_html
from weft.runtime.observe.usage import Usage
from weft.runtime.observe.view import RunView, StepView

__all__ = [
    "Event",
    "EventLog",
    "LiveTree",
    "Observer",
    "PartialEvent",
    "PlainLines",
    "ProgressEvent",
    "ResultEvent",
    "RunEvent",
    "RunView",
    "StepDetail",
    "StepEvent",
    "StepKind",
    "StepPhase",
    "StepView",
    "Summary",
    "TokenEvent",
    "Usage",
    "summarise",
    "trace_html",
]

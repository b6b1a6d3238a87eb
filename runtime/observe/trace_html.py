"""A Run as one static page: bars over seconds, edges of the DAG, every Step's words and cost."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import NamedTuple, Protocol

from weft.runtime.observe.event import Event
from weft.runtime.observe.summary import Summary, summarise
from weft.runtime.observe.view import RunView, StepView

__all__ = ["StepDetail", "trace_html"]

_FOLDER = ("assets", "trace")
"""Inside ``weft.runtime``."""


class StepDetail(Protocol):
    """What a record of a Step adds to its events: everything it was asked and gave."""

    @property
    def lineage(self) -> str: ...
    @property
    def input_json(self) -> str: ...
    @property
    def output_json(self) -> str | None: ...
    @property
    def error(self) -> str: ...


class _Words(NamedTuple):
    """What the page says of a Step in full."""

    asked: str
    told: str


def trace_html(events: Sequence[Event], details: Iterable[StepDetail] = ()) -> str:
    """The page, in ASCII, complete in itself: it loads nothing and runs no script but its own.

    ``details`` (the journal's records, for instance) give whole prompts and results; without
    one a Step shows the short form of its events and the text it streamed. Nothing that a
    model, a tool or a user wrote can become markup or script.
    """
    view, summary = RunView.of(events), summarise(events)
    words = {detail.lineage: _words(detail) for detail in details}
    style, script = _resource("trace.css"), _resource("trace.js")
    parts = {
        "STYLE_HASH": _csp_hash(style),
        "SCRIPT_HASH": _csp_hash(script),
        "TITLE": _escape(view.program.rpartition(":")[2] or "run"),
        "SUMMARY": "\n".join(f"<p>{_escape(line)}</p>" for line in summary.lines()),
        "STYLE": style,
        "SCRIPT": script,
        "DATA": _script_json(_data(view, summary, words)),
    }
    pieces = _resource("page.html").split("@")
    # Odd pieces are names. Filling each in once means that no value is searched for names.
    return "".join(parts[piece] if at % 2 else piece for at, piece in enumerate(pieces))


def _data(view: RunView, summary: Summary, words: dict[str, _Words]) -> dict[str, object]:
    critical = set(summary.critical_path)
    steps = [_step(view, view.steps[one], critical, words) for one in view.tree_order()]
    return {"seconds": summary.seconds, "steps": steps}


def _step(
    view: RunView, step: StepView, critical: set[str], words: dict[str, _Words]
) -> dict[str, object]:
    said = words.get(step.lineage, _Words(step.asked, step.told))
    return {
        "lineage": step.lineage,
        "name": step.name,
        "kind": step.kind,
        "phase": step.phase,
        "depth": view.depth(step.lineage),
        "inputs": step.inputs,
        "after": step.after,
        "is_critical": step.lineage in critical,
        "submitted_s": step.submitted_s,
        "started_s": step.started_s,
        "ended_s": view.last_s if step.ended_s is None else step.ended_s,
        "seconds": step.seconds(view.last_s),
        "figures": _figures(step, view.last_s),
        "asked": said.asked,
        "told": said.told,
        "texts": sorted(step.texts.items()),
    }


def _figures(step: StepView, now_s: float) -> list[tuple[str, str]]:
    usage, started_s = step.usage, step.started_s
    waited_s = (now_s if started_s is None else started_s) - step.submitted_s
    rows = [
        ("seconds", f"{step.seconds(now_s):.3f}"),
        ("seconds waited", f"{waited_s:.3f}"),
        ("prompt tokens", str(usage.num_prompt_tokens)),
        ("of them cached", f"{usage.num_cached_tokens} ({usage.hit_rate:.0%})"),
        ("generated tokens", str(step.num_tokens)),
        ("requests", str(usage.num_requests)),
        ("tool calls", str(usage.num_tool_calls)),
        ("retries", str(step.num_retries)),
    ]
    return [(name, value) for name, value in rows if not value.startswith("0") or "." in value]


def _words(detail: StepDetail) -> _Words:
    return _Words(_pretty(detail.input_json), detail.error or _pretty(detail.output_json or ""))


def _pretty(text: str) -> str:
    """JSON over several lines; anything else as it is."""
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


def _script_json(value: object) -> str:
    """JSON that can stand in a script element: ``</script>`` and ``<!--`` cannot occur in it."""
    text = json.dumps(value, allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _escape(text: str) -> str:
    """Text as ASCII markup; what is no character at all becomes a question mark."""
    printable = "".join(
        "?" if "\ud800" <= character <= "\udfff" else character for character in text
    )
    return html.escape(printable).encode("ascii", "xmlcharrefreplace").decode("ascii")


def _csp_hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _resource(name: str) -> str:
    return resources.files("weft.runtime").joinpath(*_FOLDER, name).read_text(encoding="utf-8")

"""Records as encoded text and back."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, cast

from weft.errors import JournalCorrupt
from weft.runtime.journal.codec import decode, encode
from weft.runtime.journal.record import RunRecord, StepRecord
from weft.runtime.observe.usage import Usage

__all__ = ["encode_record", "run_from", "step_from"]


def encode_record(record: RunRecord | StepRecord) -> str:
    return encode(asdict(record))


def run_from(body: str) -> RunRecord:
    """Raises JournalCorrupt when the text is no RunRecord."""
    fields = _fields(body)
    try:
        return RunRecord(**fields)
    except TypeError as error:
        raise JournalCorrupt(f"A record is no Run: {body[:80]!r}.") from error


def step_from(body: str) -> StepRecord:
    """Raises JournalCorrupt when the text is no StepRecord."""
    fields = _fields(body)
    try:
        fields["inputs"] = tuple(fields["inputs"])
        fields["usage"] = Usage(**fields["usage"])
        return StepRecord(**fields)
    except (TypeError, KeyError) as error:
        raise JournalCorrupt(f"A record is no Step: {body[:80]!r}.") from error


def _fields(body: str) -> dict[str, Any]:
    fields = decode(body)
    if not isinstance(fields, dict):
        raise JournalCorrupt(f"A record is no mapping: {body[:80]!r}.")
    return cast("dict[str, Any]", fields)

"""What the Python worker is asked and answers, as lines."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from weft.tools.sandbox import LimitName

__all__ = [
    "MAX_ANSWER_BYTES",
    "PythonAnswer",
    "PythonResult",
    "Question",
    "Split",
    "worker_command",
]

MAX_ANSWER_BYTES = 1 << 21
"""More than any answer of a worker that was not tampered with: JSON may write a byte as six."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonResult:
    """What became of some code."""

    value: str | None
    """A last expression's value, written out; None where there is none."""
    stdout: str
    stderr: str
    error: str = ""
    """The traceback of what it raised; empty where it raised nothing."""
    limit: LimitName | None = None
    """The limit that was hit."""
    notice: str = ""
    """How far it went, what was lost, what to try, in words; empty where all is well."""


class PythonAnswer(BaseModel):
    """What a worker answers. It comes from where untrusted code ran."""

    model_config = ConfigDict(strict=True, frozen=True)

    value: str | None
    error: str
    stdout: str = ""
    stderr: str = ""
    rss_bytes: int = 0


class Split(NamedTuple):
    """What a worker wrote, taken apart."""

    printed: bytes
    """What came before the answer."""
    answer: PythonAnswer | None
    """None: it is not there, not whole, or no answer."""


class Question:
    """One task for a worker, and how its answer is told from what code may print."""

    def __init__(self, code: str, *, captures: bool) -> None:
        """With ``captures`` the answer holds what was printed; else that goes its own way."""
        self._mark = f"weft-{secrets.token_hex(8)}"
        task = {"mark": self._mark, "code": code, "captures": captures}
        self.line = json.dumps(task).encode() + b"\n"

    def split(self, output: bytes) -> Split:
        """Take the answer out of what a worker wrote."""
        before, found, after = output.rpartition(b"\n" + self._mark.encode())
        line, end, _ = after.partition(b"\n")
        if not found or not end:
            return Split(output, None)
        try:
            return Split(before, PythonAnswer.model_validate_json(line))
        except ValidationError:
            return Split(output, None)


def worker_command() -> list[str]:
    """The command line of a worker, for the sandbox's own Python."""
    source = Path(__file__).with_name("python_worker.py").read_text("utf-8")
    return ["python3", "-I", "-c", source]

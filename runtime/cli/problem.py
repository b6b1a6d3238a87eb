"""What a command shows when it cannot go on: what was wrong, what to do, and an exit code."""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import cast

from weft.errors import CallerError, WeftError

__all__ = ["CALLER_ERROR", "FAILED", "INTERRUPTED", "Problem", "closest", "problem_of"]

FAILED = 1
"""What was asked for was in order and did not succeed."""
CALLER_ERROR = 2
"""What was asked for must change first."""
INTERRUPTED = 130
"""Ctrl-C, as shells count it: 128 + SIGINT."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One error as people and scripts see it."""

    kind: str
    """The exception's class name."""
    what: str
    remedy: str
    exit_code: int

    def as_json(self) -> dict[str, object]:
        return {"error": {"type": self.kind, "what": self.what, "remedy": self.remedy}}


def problem_of(error: BaseException) -> Problem:
    """An exception as a Problem.

    Callers' errors exit with 2, an interrupt with 130, all others with 1. An exception that is
    not weft's own also says where it was raised.
    """
    if isinstance(error, KeyboardInterrupt):
        return _interrupted()
    if isinstance(error, ExceptionGroup):
        return _first_of(cast("ExceptionGroup[Exception]", error))
    if isinstance(error, WeftError):
        code = CALLER_ERROR if isinstance(error, CallerError) else FAILED
        name = type(error).__name__
        return Problem(kind=name, what=error.what, remedy=error.remedy, exit_code=code)
    return Problem(
        kind=type(error).__name__,
        what=f"{type(error).__name__}: {error}{_place(error)}",
        remedy="Add --debug for the whole traceback.",
        exit_code=FAILED,
    )


def closest(name: str, known: Iterable[str]) -> str:
    """Names that ``name`` may have been meant as, else all of them, as the end of a remedy."""
    names = sorted(known)
    if not names:
        return ""
    matches = difflib.get_close_matches(name, names, n=3)
    if matches:
        return f"Did you mean {' or '.join(repr(match) for match in matches)}?"
    return f"There is {', '.join(repr(known_name) for known_name in names[:20])}."


def _interrupted() -> Problem:
    return Problem(
        kind="KeyboardInterrupt",
        what="Interrupted: everything that was running is cancelled.",
        remedy="",
        exit_code=INTERRUPTED,
    )


def _first_of(group: ExceptionGroup[Exception]) -> Problem:
    """The first error of a group, saying how many there are."""
    first, *others = _leaves(group)
    problem = problem_of(first)
    if others:
        return replace(problem, what=f"{problem.what} (and {len(others)} more)")
    return problem


def _leaves(group: ExceptionGroup[Exception]) -> Iterator[Exception]:
    for error in group.exceptions:
        if isinstance(error, ExceptionGroup):
            yield from _leaves(cast("ExceptionGroup[Exception]", error))
        else:
            yield error


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""

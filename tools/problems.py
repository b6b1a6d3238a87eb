"""What pydantic found wrong, in words short enough for a person or a model."""

from __future__ import annotations

import reprlib

from pydantic import ValidationError

__all__ = ["describe_error", "list_problems"]

MAX_PROBLEMS = 8
MAX_LENGTH = 500


def list_problems(error: ValidationError, root: str) -> str:
    """One clause per problem: where (dotted, under ``root``), what, and the value got."""
    problems = error.errors(include_url=False, include_context=False)
    clauses = [
        f"{'.'.join([root, *map(str, problem['loc'])])}: {problem['msg']}"
        f", got {reprlib.repr(problem['input'])}"
        for problem in problems[:MAX_PROBLEMS]
    ]
    if len(problems) > MAX_PROBLEMS:
        clauses.append(f"and {len(problems) - MAX_PROBLEMS} more")
    return "; ".join(clauses)


def describe_error(error: BaseException) -> str:
    """The class and the message of any exception, cut; survives a ``__str__`` that raises."""
    try:
        text = str(error)
    except Exception:
        text = "(its message cannot be read)"
    if len(text) > MAX_LENGTH:
        text = f"{text[:MAX_LENGTH]}…"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__

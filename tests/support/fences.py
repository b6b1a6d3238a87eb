"""Code blocks of Markdown pages, so that tests can run what documentation shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["Fence", "fences"]

OPENING = re.compile(r"^(?P<indent> {0,3})(?P<mark>`{3,}|~{3,})[ ]*(?P<language>[\w+-]*)[^`]*$")


class Fence(NamedTuple):
    """One fenced block."""

    language: str
    """The first word after the fence; empty when there is none."""
    code: str
    line: int
    """Of its first line of code, counted from 1."""


def fences(page: Path | str) -> Iterator[Fence]:
    """The fenced blocks of a page (a path, or its text) in order.

    Raises ValueError for a block that is never closed.
    """
    text = page.read_text(encoding="utf-8") if isinstance(page, Path) else page
    lines = iter(enumerate(text.splitlines(), 1))
    for number, line in lines:
        opening = OPENING.match(line)
        if opening:
            code = _until_closed(lines, opening["mark"], number)
            yield Fence(opening["language"], code, number + 1)


def _until_closed(lines: Iterator[tuple[int, str]], mark: str, opened_at: int) -> str:
    closing = re.compile(rf"^ {{0,3}}{mark[0]}{{{len(mark)},}}[ ]*$")
    body: list[str] = []
    for _, line in lines:
        if closing.match(line):
            return "\n".join(body) + "\n"
        body.append(line)
    raise ValueError(f"the block opened at line {opened_at} is never closed")

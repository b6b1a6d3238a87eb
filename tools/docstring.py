"""What a function's docstring says of the function and of each parameter."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import NamedTuple

__all__ = ["Docstring", "parse_docstring"]

_ARGUMENT_HEADERS = frozenset({"args", "arguments", "parameters", "params"})
_OTHER_HEADERS = frozenset(
    "attributes example examples note notes raises references return returns see also "
    "warning warnings yields".split()
) | {"see also"}


class Docstring(NamedTuple):
    """A docstring taken apart."""

    description: str
    """Everything before the first section."""
    parameters: Mapping[str, str]
    """Parameter name to its description on one line; only those described."""


def parse_docstring(text: str) -> Docstring:
    """Read a Google, NumPy or ``:param name:`` docstring, in time linear in its length."""
    lines = inspect.cleandoc(text).splitlines()
    description: list[str] = []
    parameters: dict[str, str] = {}
    at = 0
    while at < len(lines):
        block_end = _block_end(lines, at)
        header = _header(lines, at)
        if header in _ARGUMENT_HEADERS:
            parameters |= _entries(lines, at, block_end)
        elif lines[at].startswith(":param "):
            parameters |= _field(lines[at:block_end])
        elif not header and not lines[at].startswith(":") and not parameters:
            description += lines[at:block_end]
        at = block_end
    return Docstring("\n".join(description).strip(), parameters)


def _header(lines: Sequence[str], at: int) -> str:
    """The section that starts here in lower case, empty when none does."""
    line = lines[at].strip().lower()
    if line.endswith(":") and line[:-1] in _ARGUMENT_HEADERS | _OTHER_HEADERS:
        return line[:-1]
    is_underlined = at + 1 < len(lines) and set(lines[at + 1].strip()) == {"-"}
    return line if is_underlined else ""


def _block_end(lines: Sequence[str], at: int) -> int:
    """The line after this block: a section runs to the next section, anything else one line."""
    is_field = lines[at].startswith(":")
    if not is_field and not _header(lines, at):
        return at + 1
    end = at + 1
    while end < len(lines) and not _header(lines, end) and not lines[end].startswith(":"):
        if is_field and not lines[end].startswith(" "):
            break
        end += 1
    return end


def _entries(lines: Sequence[str], at: int, end: int) -> dict[str, str]:
    """The parameters of one section, Google (indented under a header) or NumPy (underlined)."""
    is_numpy = not lines[at].strip().endswith(":")
    body = [line for line in lines[at + 1 + is_numpy : end] if line.strip()]
    if not body:
        return {}
    indent = len(body[0]) - len(body[0].lstrip())
    found: dict[str, list[str]] = {}
    words: list[str] = []
    for line in body:
        if len(line) - len(line.lstrip()) > indent:
            words.append(line.strip())
            continue
        head, _, tail = line.strip().partition(":")
        words = [] if is_numpy else [tail.strip()]
        for name in head.split("(")[0].split(","):
            found[name.strip().lstrip("*")] = words
    return {name: " ".join(filter(None, told)) for name, told in found.items() if any(told)}


def _field(lines: Sequence[str]) -> dict[str, str]:
    """The parameter of one ``:param type name: text`` field."""
    head, _, tail = lines[0].removeprefix(":param ").partition(":")
    told = " ".join([tail.strip(), *(line.strip() for line in lines[1:])]).strip()
    name = head.split()[-1] if head.split() else ""
    return {name: told} if name and told else {}

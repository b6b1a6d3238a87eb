"""Reading a description that is JSON, with its size known before anything recurses over it."""

from __future__ import annotations

import json
import re
from typing import NoReturn, cast

from weft.errors import GrammarRejected
from weft.runtime.grammar.limits import GrammarLimits

__all__ = ["check_size", "parse_json"]

_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


def check_size(text: str, limits: GrammarLimits) -> None:
    """Raises: GrammarRejected when the description is too long or is not valid text."""
    try:
        size_bytes = len(text.encode())
    except UnicodeEncodeError as error:
        raise GrammarRejected(
            f"The grammar's text has a lone surrogate at position {error.start}.",
            remedy="Send valid Unicode.",
        ) from error
    if size_bytes > limits.max_text_bytes:
        raise GrammarRejected(
            f"The grammar's text has {size_bytes} bytes.",
            remedy=f"At most {limits.max_text_bytes} are allowed.",
        )


def parse_json(text: str, limits: GrammarLimits) -> object:
    """The JSON value in ``text``, whose length was checked before.

    Raises: GrammarRejected for invalid JSON, NaN, repeated keys, or too deep or many values.
    """
    _check_depth(text, limits)
    try:
        value: object = json.loads(
            text, object_pairs_hook=_unique_keys, parse_constant=_reject_constant
        )
    except ValueError as error:
        raise GrammarRejected(
            f"The grammar's text is not JSON: {error}.", remedy="Send one JSON value."
        ) from error
    num_nodes = _num_nodes(value)
    if num_nodes > limits.max_nodes:
        raise GrammarRejected(
            f"The grammar's text holds {num_nodes} JSON values.",
            remedy=f"At most {limits.max_nodes} are allowed.",
        )
    return value


def _check_depth(text: str, limits: GrammarLimits) -> None:
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        mark = match.group()
        if mark in "[{":
            depth += 1
        elif mark in "]}":
            depth -= 1
        if depth > limits.max_depth:
            raise GrammarRejected(
                f"The grammar's text nests deeper than {limits.max_depth} brackets.",
                remedy="Flatten it, or name parts under $defs.",
            )


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise GrammarRejected(f"The key {repeated!r} comes twice.", remedy="Keep one of them.")
    return found


def _reject_constant(name: str) -> NoReturn:
    raise GrammarRejected(f"The grammar's text has the number {name}.", remedy="JSON has none.")


def _num_nodes(value: object) -> int:
    pending = [value]
    count = 0
    while pending:
        node = pending.pop()
        count += 1
        if isinstance(node, dict):
            pending.extend(cast(dict[str, object], node).values())
        elif isinstance(node, list):
            pending.extend(cast(list[object], node))
    return count

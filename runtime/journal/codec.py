"""Data as text and back: the only form in which the journal keeps values.

Text is JSON in ASCII and decodes to data alone, never to code. JSON lacks a few values that
Python has; they are written as an object with one tagged key, and an object of the caller's that
looks like one gets a second ``$`` so that nothing is mistaken:

    {"$float": "nan"}    nan, inf or -inf
    {"$$float": 1}       the caller's own {"$float": 1}

Lone surrogates, which UTF-8 cannot carry, survive as ``\\ud800`` escapes.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import cast

from weft.errors import JournalCorrupt, JournalError

__all__ = ["Data", "canonical", "checksum", "decode", "encode"]

Data = None | bool | int | float | str | list["Data"] | dict[str, "Data"]
"""What a decoded text is made of."""

_FLOAT = "$float"


def encode(value: object) -> str:
    """Data as JSON text: ``decode`` gives back an equal value with its keys in the same order.

    Tuples become lists. Raises JournalError for what is not data: other types, keys that are no
    strings, cycles.
    """
    return _dump(value, sort_keys=False)


def canonical(value: object) -> str:
    """As ``encode``, but equal data has equal text whatever the order of its keys: for hashes."""
    return _dump(value, sort_keys=True)


def decode(text: str) -> Data:
    """What was encoded. Raises JournalCorrupt when the text is not an encoded value."""
    try:
        return cast("Data", json.loads(text, object_hook=_untagged, parse_constant=_refuse))
    except (ValueError, RecursionError) as error:
        raise JournalCorrupt(f"A record is no encoded data: {text[:80]!r}.") from error


def checksum(*parts: str) -> str:
    """A hash over texts and where one ends and the next begins."""
    framed = json.dumps(parts, separators=(",", ":")).encode()
    return hashlib.blake2b(framed, digest_size=16).hexdigest()


def _dump(value: object, *, sort_keys: bool) -> str:
    try:
        plain = _tagged(value)
    except RecursionError as error:
        raise JournalError(
            "A value is nested too deeply, or holds itself, and cannot be recorded.",
            remedy="Record flatter data.",
        ) from error
    return json.dumps(plain, sort_keys=sort_keys, separators=(",", ":"), allow_nan=False)


def _tagged(value: object) -> object:
    """The value with everything that JSON lacks replaced by its tagged form."""
    if value is None or type(value) in (bool, int, str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {_FLOAT: repr(float(value))}
    if isinstance(value, list | tuple):
        return [_tagged(item) for item in cast("list[object]", value)]
    if isinstance(value, Mapping):
        return _tagged_mapping(cast("Mapping[object, object]", value))
    raise JournalError(
        f"A {type(value).__name__} cannot be recorded, got {value!r:.80}.",
        remedy="Record None, booleans, numbers, strings, lists and mappings of them.",
    )


def _tagged_mapping(mapping: Mapping[object, object]) -> dict[str, object]:
    tagged: dict[str, object] = {}
    for key, value in mapping.items():
        if type(key) is not str:
            raise JournalError(
                f"A mapping with the key {key!r} cannot be recorded.", remedy="Use string keys."
            )
        tagged[key] = _tagged(value)
    if len(tagged) == 1:
        key = next(iter(tagged))
        if key.startswith("$"):
            return {f"${key}": tagged[key]}
    return tagged


def _untagged(found: dict[str, object]) -> object:
    if len(found) != 1:
        return found
    key, value = next(iter(found.items()))
    if key.startswith("$$"):
        return {key[1:]: value}
    if key == _FLOAT and isinstance(value, str) and value in ("nan", "inf", "-inf"):
        return float(value)
    if key.startswith("$"):
        raise ValueError(f"unknown tag {key!r}")
    return found


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is no JSON")

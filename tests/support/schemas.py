"""JSON Schemas drawn at random, and a naive validator for exactly those."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import cast

__all__ = ["generated", "is_valid"]

SCALARS: list[Mapping[str, object]] = [
    {"type": "integer", "minimum": -20, "maximum": 300},
    {"type": "string", "maxLength": 6},
    {"type": "boolean"},
    {"type": "null"},
    {"enum": ["red", "green", 3]},
    {"type": "number", "minimum": 0, "maximum": 10},
    {"type": "string", "pattern": "^[ab]{1,3}$"},
]


def generated(rng: random.Random, depth: int) -> Mapping[str, object]:
    kind = rng.choice(["scalar", "object", "array", "any"]) if depth else "scalar"
    if kind == "scalar":
        return rng.choice(SCALARS)
    if kind == "any":
        return {"anyOf": [generated(rng, depth - 1) for _ in range(2)]}
    if kind == "array":
        least = rng.randrange(3)
        items = generated(rng, depth - 1)
        return {"type": "array", "items": items, "minItems": least, "maxItems": least + 2}
    names = [f"k{i}" for i in range(rng.randint(1, 4))]
    return {
        "type": "object",
        "properties": {name: generated(rng, depth - 1) for name in names},
        "required": [name for name in names if rng.random() < 0.6],
    }


def is_valid(value: object, wanted: Mapping[str, object]) -> bool:
    """A validator for what ``generated`` makes, from the words of JSON Schema alone."""
    if "anyOf" in wanted:
        return any(
            is_valid(value, one) for one in cast(list[Mapping[str, object]], wanted["anyOf"])
        )
    if "enum" in wanted:
        return value in cast(list[object], wanted["enum"])
    if wanted["type"] == "object":
        return is_valid_object(value, wanted)
    if wanted["type"] == "array":
        least, most = cast(int, wanted["minItems"]), cast(int, wanted["maxItems"])
        items = cast(Mapping[str, object], wanted["items"])
        if not isinstance(value, list):
            return False
        listed = cast(list[object], value)
        return least <= len(listed) <= most and all(is_valid(item, items) for item in listed)
    return is_valid_scalar(value, wanted)


def is_valid_object(value: object, wanted: Mapping[str, object]) -> bool:
    if not isinstance(value, dict):
        return False
    properties = cast(Mapping[str, Mapping[str, object]], wanted["properties"])
    named = cast(Mapping[str, object], value)
    return set(cast(list[str], wanted["required"])) <= named.keys() and all(
        name in properties and is_valid(child, properties[name]) for name, child in named.items()
    )


def is_valid_scalar(value: object, wanted: Mapping[str, object]) -> bool:
    match wanted["type"]:
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "string":
            if "pattern" in wanted:
                return isinstance(value, str) and 1 <= len(value) <= 3 and set(value) <= {"a", "b"}
            return isinstance(value, str) and len(value) <= 6
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool) and -20 <= value <= 300
        case _:
            return isinstance(value, int | float) and 0 <= value <= 10

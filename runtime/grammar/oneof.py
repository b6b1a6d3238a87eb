"""When ``oneOf`` means the same as ``anyOf``: no value can satisfy two branches."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import cast

from weft.errors import GrammarRejected
from weft.runtime.grammar.reference import resolve

__all__ = ["check_disjoint"]

Schema = Mapping[str, object]


def check_disjoint(path: str, branches: list[object], root: object) -> None:
    """Branches are disjoint when their types are, their constants are, or a property that both
    require (a discriminator) is. Raises: GrammarRejected when neither can be seen."""
    nodes = [_target(branch, root) for branch in branches]
    for (i, one), (j, other) in combinations(enumerate(nodes), 2):
        if not _are_disjoint(one, other, root):
            raise GrammarRejected(
                f"In the JSON Schema at {path}, branches {i} and {j} of 'oneOf' may overlap.",
                remedy="Use 'anyOf', or give each branch its own constant in a required property.",
            )


def _are_disjoint(one: Schema, other: Schema, root: object) -> bool:
    if not _types(one) & _types(other):
        return True
    values, others = _constants(one), _constants(other)
    if values is not None and others is not None:
        return not values & others
    return any(
        _differ(_property(one, name, root), _property(other, name, root))
        for name in _required(one) & _required(other)
    )


def _differ(one: Schema, other: Schema) -> bool:
    values, others = _constants(one), _constants(other)
    return values is not None and others is not None and not values & others


def _target(schema: object, root: object) -> Schema:
    for _ in range(16):
        if not isinstance(schema, dict):
            return {}
        if "$ref" not in schema:
            return cast(Schema, schema)
        schema = resolve(root, cast(Schema, schema)["$ref"])
    return {}


def _property(node: Schema, name: str, root: object) -> Schema:
    properties = node.get("properties")
    if not isinstance(properties, dict):
        return {}
    return _target(cast(Schema, properties).get(name), root)


def _required(node: Schema) -> set[str]:
    names = node.get("required", [])
    return (
        {name for name in cast(list[object], names) if isinstance(name, str)}
        if isinstance(names, list)
        else set()
    )


def _types(node: Schema) -> set[str]:
    values = _constants(node)
    if values is not None:
        return {kind for kind, _ in values}
    given = node.get("type", ["array", "boolean", "null", "number", "object", "string"])
    types = cast(list[object], given) if isinstance(given, list) else [given]
    return {"number" if one == "integer" else str(one) for one in types}


def _constants(node: Schema) -> set[tuple[str, object]] | None:
    """The scalars that a ``const`` or ``enum`` allows, each with its type; else ``None``."""
    given = [node["const"]] if "const" in node else node.get("enum")
    if not isinstance(given, list):
        return None
    values = cast(list[object], given)
    if any(isinstance(value, dict | list) for value in values):
        return None
    return {(_type_name(value), value) for value in values}


def _type_name(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    return "string" if isinstance(value, str) else "number"

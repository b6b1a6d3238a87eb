"""The arguments of tools as branches: what is decoded once, under which schema, after which."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from weft.programs.heads import HeadForm
from weft.programs.output import Output

__all__ = ["Branch", "branch_output", "branches_of"]

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """One argument. Equal branches of several tools need be decoded only once."""

    argument: str
    schema: str
    """Of its value, as JSON; with null where that stands for leaving it out."""
    is_left_out_as_null: bool
    needs: tuple[Branch, ...]
    """Those whose values stand before it, in the schema's order."""


def branches_of(parameters: Schema, depends: Mapping[str, tuple[str, ...]]) -> tuple[Branch, ...]:
    """The arguments of one tool, in the order of its schema ``parameters``; ``depends`` is a
    Tool's.

    An argument that is not required may be left out: null says so, unless null is a value of it.
    """
    order: list[str] = list(parameters.get("properties", {}))
    known: dict[str, Branch] = {}
    for argument in sorted(order, key=lambda name: len(depends.get(name, ()))):
        needs = tuple(known[name] for name in depends.get(argument, ()))
        known[argument] = _branch(parameters, argument, needs)
    return tuple(known[argument] for argument in order)


def branch_output(branch: Branch, form: HeadForm) -> Output[str]:
    """How the branch is enforced and read: as a member of a JSON object."""
    return form.member_output(
        branch.argument,
        json.loads(branch.schema),
        is_left_out_as_null=branch.is_left_out_as_null,
    )


def _branch(parameters: Schema, argument: str, needs: tuple[Branch, ...]) -> Branch:
    schema: Schema = parameters["properties"][argument]
    definitions: Schema = parameters.get("$defs", {})
    is_optional = argument not in parameters.get("required", ())
    is_left_out_as_null = is_optional and not _admits_null(schema, definitions, frozenset())
    if is_left_out_as_null:
        schema = {"anyOf": [schema, {"type": "null"}]}
    text = json.dumps(schema, ensure_ascii=False)
    if '"$ref"' in text:
        text = json.dumps({**schema, "$defs": definitions}, ensure_ascii=False)
    return Branch(
        argument=argument,
        schema=text,
        is_left_out_as_null=is_left_out_as_null,
        needs=needs,
    )


def _admits_null(schema: Schema, definitions: Schema, seen: frozenset[str]) -> bool:
    """Null is a value of the schema, as far as grammars enforce schemas."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        target = definitions.get(name, {})
        return name not in seen and _admits_null(target, definitions, seen | {name})
    for chooser in ("allOf", "anyOf", "oneOf"):
        if chooser in schema:
            return any(_admits_null(option, definitions, seen) for option in schema[chooser])
    if "enum" in schema or "const" in schema:
        return None in schema.get("enum", [schema.get("const")])
    types = schema.get("type", "null")
    return types == "null" or "null" in types

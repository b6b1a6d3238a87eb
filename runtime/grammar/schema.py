"""Which JSON Schemas are enforced in full. Everything else is refused by name.

The lists below are what xgrammar was found to enforce, checked by a test that compiles each
keyword; a keyword it ignores would let the model write what the schema forbids. Where it is
stricter than JSON Schema (a pattern must match the whole string; properties come in the declared
order; nothing undeclared is written unless the schema speaks of it), output is still valid.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

from weft.errors import GrammarRejected
from weft.runtime.grammar.limits import GrammarLimits
from weft.runtime.grammar.oneof import check_disjoint
from weft.runtime.grammar.reference import resolve

__all__ = ["FORMATS", "check_schema"]

Schema = Mapping[str, object]

_ANNOTATIONS = frozenset(
    "$comment $id $schema contentMediaType default deprecated description discriminator example "
    "examples readOnly title writeOnly".split()
)
_DEFINITIONS = frozenset(["$defs", "definitions"])
_CHOOSERS = frozenset(["$ref", "allOf", "anyOf", "const", "enum", "oneOf"])
"""At most one per schema, and with no constraint beside it: xgrammar reads only one."""
_BY_TYPE: Mapping[str, frozenset[str]] = {
    "string": frozenset(["format", "maxLength", "minLength", "pattern"]),
    "number": frozenset(["exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum"]),
    "integer": frozenset(
        ["exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf"]
    ),
    "array": frozenset(["items", "maxItems", "minItems", "prefixItems"]),
    "object": frozenset(
        "additionalProperties maxProperties minProperties properties propertyNames required".split()
    ),
    "boolean": frozenset(),
    "null": frozenset(),
}
_CONSTRAINTS = frozenset[str]().union(*_BY_TYPE.values())
_COUNTS = frozenset("maxItems maxLength maxProperties minItems minLength minProperties".split())
_KNOWN = _ANNOTATIONS | _DEFINITIONS | _CHOOSERS | _CONSTRAINTS | {"type"}
FORMATS = frozenset(
    "date date-time duration email hostname ipv4 ipv6 json-pointer time uri uuid".split()
)
"""Formats that are enforced."""
_LOOSE_FORMATS = frozenset("binary directory-path file-path password path".split())
"""Formats that restrict nothing."""


def check_schema(schema: object, limits: GrammarLimits) -> None:
    """Raises: GrammarRejected, naming the keyword and where it is."""
    pending: list[tuple[str, object]] = [("#", schema)]
    while pending:
        path, node = pending.pop()
        if isinstance(node, bool):
            if not node and not path.endswith(("/additionalProperties", "/items")):
                raise _rejected(path, "it is false, which no output satisfies", "Remove it.")
        elif isinstance(node, dict):
            _check_node(path, cast(Schema, node), schema, limits)
            pending.extend(_children(path, cast(Schema, node)))
        else:
            raise _rejected(path, f"it is {node!r}", "A schema is an object or a boolean.")


def _check_node(path: str, node: Schema, root: object, limits: GrammarLimits) -> None:
    for keyword in node:
        if keyword not in _KNOWN:
            raise _rejected(
                path, f"the keyword {keyword!r} is not enforced", "Leave it out or check it later."
            )
    if "type" in node:
        _types(path, node)
    choosers = sorted(_CHOOSERS & node.keys())
    constraints = sorted(_CONSTRAINTS & node.keys())
    if choosers:
        _check_chooser(path, node, choosers, constraints, root, limits)
    elif constraints:
        _check_types(path, node, constraints)
    _check_counts(path, node, limits)
    _check_strings(path, node)
    _check_object(path, node)


def _check_chooser(
    path: str,
    node: Schema,
    choosers: list[str],
    constraints: list[str],
    root: object,
    limits: GrammarLimits,
) -> None:
    chooser = choosers[0]
    beside = choosers[1:] + constraints
    if "type" in node and chooser not in ("const", "enum"):
        beside.append("type")
    if beside:
        raise _rejected(
            path,
            f"{beside[0]!r} beside {chooser!r} is not enforced",
            "Move it into the alternatives.",
        )
    if chooser == "$ref":
        resolve(root, node["$ref"])
    elif chooser in ("const", "enum"):
        _check_values(path, node, chooser, limits)
    else:
        _check_alternatives(path, node, chooser, root)


def _check_alternatives(path: str, node: Schema, chooser: str, root: object) -> None:
    options = node[chooser]
    if not isinstance(options, list) or not options:
        raise _rejected(path, f"{chooser!r} is {options!r}", "Give a list of schemas.")
    if chooser == "allOf" and len(cast(list[object], options)) > 1:
        raise _rejected(path, "'allOf' of several schemas is not enforced", "Merge them into one.")
    if chooser == "oneOf":
        check_disjoint(path, cast(list[object], options), root)


def _check_values(path: str, node: Schema, chooser: str, limits: GrammarLimits) -> None:
    values = [node["const"]] if chooser == "const" else node["enum"]
    if not isinstance(values, list):
        raise _rejected(path, f"'enum' is {values!r}", "Give a list of values.")
    values = cast(list[object], values)
    if len(values) > limits.max_choices:
        raise _rejected(
            path, f"'enum' has {len(values)} values", f"At most {limits.max_choices} are allowed."
        )
    types = set(_types(path, node)) if "type" in node else set(_BY_TYPE)
    for value in values:
        if not _has_type(value, types):
            raise _rejected(
                path,
                f"{chooser!r} holds {value!r}, which is a list, an object or not of the type given",
                "Only strings, numbers, booleans and null of that type are enforced.",
            )


def _has_type(value: object, types: set[str]) -> bool:
    if value is None:
        return "null" in types
    if isinstance(value, bool):
        return "boolean" in types
    if isinstance(value, int):
        return bool({"integer", "number"} & types)
    if isinstance(value, float):
        return "number" in types
    return isinstance(value, str) and "string" in types


def _check_types(path: str, node: Schema, constraints: list[str]) -> None:
    if "type" in node:
        types = _types(path, node)
    elif path.endswith("/propertyNames"):
        types = ["string"]
    else:
        types = [t for t in ("array", "object") if _BY_TYPE[t] & node.keys()]
        if len(types) != 1:
            raise _rejected(
                path, f"{constraints[0]!r} without 'type' is not enforced", "Give the type."
            )
    for keyword in constraints:
        owners = {t for t, keywords in _BY_TYPE.items() if keyword in keywords}
        if not owners & set(types) or (keyword == "multipleOf" and "number" in types):
            raise _rejected(
                path, f"{keyword!r} is not enforced for {'/'.join(types)}", "Leave it out."
            )


def _types(path: str, node: Schema) -> list[str]:
    given = node["type"]
    types = cast(list[object], given) if isinstance(given, list) else [given]
    for one in types:
        if one not in _BY_TYPE:
            raise _rejected(path, f"'type' is {given!r}", f"It must be of {sorted(_BY_TYPE)}.")
    return cast(list[str], types)


def _check_counts(path: str, node: Schema, limits: GrammarLimits) -> None:
    for keyword in sorted(_COUNTS & node.keys()):
        value = node[keyword]
        is_count = isinstance(value, int) and not isinstance(value, bool)
        most = limits.max_least if keyword.startswith("min") else limits.max_count
        if not is_count or not 0 <= cast(int, value) <= most:
            raise _rejected(path, f"{keyword!r} is {value!r}", f"It must be 0 to {most}.")


def _check_strings(path: str, node: Schema) -> None:
    if "pattern" in node and {"minLength", "maxLength", "format"} & node.keys():
        raise _rejected(
            path, "a length or format beside 'pattern' is not enforced", "Say it in the pattern."
        )
    if "format" in node and {"minLength", "maxLength"} & node.keys():
        raise _rejected(path, "a length beside 'format' is not enforced", "Leave one of them out.")
    given = node.get("format")
    if given is not None and given not in FORMATS | _LOOSE_FORMATS:
        raise _rejected(path, f"the format {given!r} is not enforced", f"Use {sorted(FORMATS)}.")


def _check_object(path: str, node: Schema) -> None:
    properties = node.get("properties", {})
    required = node.get("required", [])
    if not isinstance(properties, dict) or not isinstance(required, list):
        raise _rejected(
            path, "'properties' or 'required' has the wrong form", "Give an object and a list."
        )
    for name in cast(list[object], required):
        if name not in properties:
            raise _rejected(
                path,
                f"'required' names {name!r}, which is not in 'properties'",
                "Declare it there.",
            )
    if "propertyNames" in node and properties:
        raise _rejected(
            path, "'propertyNames' beside 'properties' is not enforced", "Use one of them."
        )


def _children(path: str, node: Schema) -> Iterator[tuple[str, object]]:
    for keyword in ("additionalProperties", "items", "propertyNames"):
        if keyword in node:
            yield f"{path}/{keyword}", node[keyword]
    for keyword in ("$defs", "definitions", "properties"):
        named = node.get(keyword, {})
        if not isinstance(named, dict):
            raise _rejected(path, f"{keyword!r} is {named!r}", "Give an object of schemas.")
        for name, child in cast(Schema, named).items():
            yield f"{path}/{keyword}/{name}", child
    for keyword in ("allOf", "anyOf", "oneOf", "prefixItems"):
        listed = node.get(keyword, [])
        if not isinstance(listed, list):
            raise _rejected(path, f"{keyword!r} is {listed!r}", "Give a list of schemas.")
        for index, child in enumerate(cast(list[object], listed)):
            yield f"{path}/{keyword}/{index}", child


def _rejected(path: str, problem: str, remedy: str) -> GrammarRejected:
    return GrammarRejected(f"In the JSON Schema at {path}, {problem}.", remedy=remedy)

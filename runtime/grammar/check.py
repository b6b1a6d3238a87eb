"""Everything about a description that is known before it is compiled."""

from __future__ import annotations

import json
from typing import NamedTuple, cast

from weft.errors import GrammarRejected
from weft.programs.grammar import GrammarSpec
from weft.runtime.grammar.description import check_size, parse_json
from weft.runtime.grammar.limits import GrammarLimits
from weft.runtime.grammar.regex import check_regex
from weft.runtime.grammar.schema import check_schema

__all__ = ["check_spec", "is_cheap"]

_CHEAP_NODES = 64
_CHEAP_BYTES = 4_096
_CHEAP_COUNT = 64
_COSTLY_KEYWORDS = frozenset(["$ref", "format", "multipleOf", "pattern", "propertyNames"])


def check_spec(spec: GrammarSpec, limits: GrammarLimits) -> None:
    """Cost is linear in the text. Raises: GrammarRejected."""
    check_size(spec.text, limits)
    if spec.kind == "json_schema":
        schema = parse_json(spec.text, limits)
        check_schema(schema, limits)
        _check_patterns(schema, limits)
    elif spec.kind == "regex":
        check_regex(spec.text, limits)
    elif spec.kind == "choices":
        _check_choices(parse_json(spec.text, limits), limits)
    elif spec.kind == "structural_tag":
        _check_tag(parse_json(spec.text, limits), limits)


def is_cheap(spec: GrammarSpec) -> bool:
    """Whether compiling a checked description costs little for certain: no repetition beyond a
    few, nothing expanded more than once, few values."""
    if spec.kind in ("json", "choices"):
        return True
    if spec.kind not in ("json_schema", "structural_tag") or len(spec.text) > _CHEAP_BYTES:
        return False
    value = parse_json(spec.text, GrammarLimits())
    if spec.kind == "structural_tag":
        value = cast(dict[str, object], value).get("format") if isinstance(value, dict) else None
        if not _is_plain(value):
            return False
    walk = _Walk(value)
    return walk.num_nodes <= _CHEAP_NODES and not walk.is_costly


def _is_plain(part: object) -> bool:
    """A structural tag of nothing but texts and schemas, one after the other or in their stead."""
    if not isinstance(part, dict):
        return False
    fields = cast(dict[str, object], part)
    if fields.get("type") in ("sequence", "or"):
        elements = fields.get("elements")
        return isinstance(elements, list) and all(map(_is_plain, cast(list[object], elements)))
    return fields.get("type") in ("const_string", "json_schema")


class _Walk:
    """What a schema holds, keywords and property names alike: erring on the costly side."""

    def __init__(self, schema: object) -> None:
        self.num_nodes = 0
        self.is_costly = False
        pending = [schema]
        while pending:
            node = pending.pop()
            self.num_nodes += 1
            if isinstance(node, dict):
                named = cast(dict[str, object], node)
                self.is_costly |= bool(_COSTLY_KEYWORDS & named.keys())
                pending.extend(named.values())
            elif isinstance(node, list):
                pending.extend(cast(list[object], node))
            elif isinstance(node, int | float):
                self.is_costly |= abs(node) > _CHEAP_COUNT


def _check_patterns(node: object, limits: GrammarLimits) -> None:
    if isinstance(node, dict):
        named = cast(dict[str, object], node)
        pattern = named.get("pattern")
        if isinstance(pattern, str):
            check_regex(pattern, limits)
        for child in named.values():
            _check_patterns(child, limits)
    elif isinstance(node, list):
        for child in cast(list[object], node):
            _check_patterns(child, limits)


def _check_choices(value: object, limits: GrammarLimits) -> None:
    choices = cast(list[object], value) if isinstance(value, list) else list[object]()
    if not choices or not all(isinstance(choice, str) and choice for choice in choices):
        raise GrammarRejected(
            f"The choices are {json.dumps(value)[:80]}.",
            remedy="Give a JSON list of at least one string, none of them empty.",
        )
    if len(choices) > limits.max_choices:
        raise GrammarRejected(
            f"There are {len(choices)} choices.", remedy=f"At most {limits.max_choices}."
        )


class _Content(NamedTuple):
    kind: object
    fields: dict[str, object]


def _check_tag(value: object, limits: GrammarLimits) -> None:
    """Check every schema, pattern and count inside a structural tag."""
    pending = [value]
    while pending:
        node = pending.pop()
        if isinstance(node, list):
            pending.extend(cast(list[object], node))
        elif isinstance(node, dict):
            fields = cast(dict[str, object], node)
            content = _Content(fields.get("type"), fields)
            _check_content(content, limits)
            held = {"json_schema"} if content.kind == "json_schema" else set[str]()
            pending.extend(v for k, v in content.fields.items() if k not in held)


def _check_content(content: _Content, limits: GrammarLimits) -> None:
    if content.kind == "json_schema":
        schema = content.fields.get("json_schema")
        check_schema(schema, limits)
        _check_patterns(schema, limits)
    elif content.kind == "regex":
        check_regex(str(content.fields.get("pattern", "")), limits)
    elif content.kind == "qwen_xml_parameter":
        raise GrammarRejected(
            "The structural tag holds 'qwen_xml_parameter'.", remedy="Use 'json_schema'."
        )
    for name, most in (("min", limits.max_least), ("max", limits.max_count)):
        count = content.fields.get(name)
        if isinstance(count, int) and count > most:
            raise GrammarRejected(
                f"The structural tag repeats {count} times.", remedy=f"At most {most}."
            )

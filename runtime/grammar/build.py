"""From a checked description to xgrammar's grammar, not yet compiled for a vocabulary."""

from __future__ import annotations

import json
import re
from typing import cast

import xgrammar

from weft.programs.grammar import GrammarSpec

__all__ = ["build"]

_COUNTED_CHARACTER = re.compile(
    r'^(\w*characters\w* ::= )\(\(\[\^\\"\\\\\\r\\n\]\)\)$', re.MULTILINE
)
"""How xgrammar 0.2.8 spells one character of a string whose length is limited: it lets raw control
characters through, which no JSON parser reads, and no escape."""
_JSON_CHARACTER = r"""([^\0-\x1f\"\\] | "\\" [\"\\/bfnrt])"""
"""One character, or one escape that stands for one; \\u may be half of a character."""


def build(spec: GrammarSpec) -> xgrammar.Grammar:
    """JSON comes as ``json.dumps`` writes it: one line, ", " and ": ", no other spaces, so that
    a model trained on one spacing stays on it.

    Raises: RuntimeError from xgrammar when the description is not valid.
    """
    if spec.kind == "json_schema":
        return _json(spec.text)
    if spec.kind == "json":
        return _json("{}")
    if spec.kind == "regex":
        return xgrammar.Grammar.from_regex(spec.text)
    if spec.kind == "ebnf":
        return xgrammar.Grammar.from_ebnf(spec.text)
    if spec.kind == "choices":
        return xgrammar.Grammar.from_ebnf(_choice_rule(json.loads(spec.text)))
    return xgrammar.Grammar.from_structural_tag(json.dumps(_canonical(json.loads(spec.text))))


def _json(schema: str) -> xgrammar.Grammar:
    grammar = xgrammar.Grammar.from_json_schema(
        schema, any_whitespace=False, separators=(", ", ": "), strict_mode=True
    )
    text = str(grammar)
    repaired = _COUNTED_CHARACTER.sub(lambda match: match[1] + _JSON_CHARACTER, text)
    return grammar if repaired == text else xgrammar.Grammar.from_ebnf(repaired)


def _choice_rule(choices: list[str]) -> str:
    return "root ::= " + " | ".join(json.dumps(choice) for choice in choices)


def _canonical(node: object) -> object:
    """The tag with each JSON Schema replaced by its grammar: a tag's own schemas would allow any
    whitespace."""
    if isinstance(node, list):
        return [_canonical(child) for child in cast(list[object], node)]
    if not isinstance(node, dict):
        return node
    named = cast(dict[str, object], node)
    if named.get("type") == "json_schema":
        return {"type": "grammar", "grammar": str(_json(json.dumps(named.get("json_schema"))))}
    return {key: _canonical(child) for key, child in named.items()}

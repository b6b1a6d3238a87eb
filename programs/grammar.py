"""What output is allowed: the description of a grammar, not yet compiled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["GrammarKind", "GrammarSpec"]

GrammarKind = Literal["json_schema", "json", "regex", "ebnf", "choices", "structural_tag"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GrammarSpec:
    """A grammar as text: hashable, so that it can key a cache of compiled grammars.

    ``text`` holds, by ``kind``: the JSON Schema as JSON; nothing (any JSON); the regular
    expression; the EBNF with a rule ``root``; a JSON list of strings; a structural tag as JSON.
    """

    kind: GrammarKind
    text: str = ""

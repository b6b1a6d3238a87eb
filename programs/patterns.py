"""Grammars that a person writes, to give as ``out=``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Ebnf", "JsonSchema", "Regex"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Regex:
    """Text that matches a regular expression from end to end. The result is a ``str``.

    Look-around and back-references have no grammar and are refused.
    """

    pattern: str = field(kw_only=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ebnf:
    """Text that a grammar in EBNF derives from its rule ``root``. The result is a ``str``."""

    grammar: str = field(kw_only=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonSchema:
    """JSON that follows a schema. The result is JSON-shaped data, typed as ``object``."""

    schema: Mapping[str, object] = field(kw_only=False)

"""Descriptions of output for grammar tests, and a random writer that stays inside a mask."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import torch

from weft.programs.grammar import GrammarSpec
from weft.programs.tool_calls import tool_call_tag

__all__ = [
    "CORPUS",
    "SCHEMAS",
    "TOOLS",
    "allowed_ids",
    "choices",
    "ebnf",
    "regex",
    "schema",
    "write",
]


def schema(value: object) -> GrammarSpec:
    return GrammarSpec(kind="json_schema", text=json.dumps(value))


def regex(pattern: str) -> GrammarSpec:
    return GrammarSpec(kind="regex", text=pattern)


def ebnf(text: str) -> GrammarSpec:
    return GrammarSpec(kind="ebnf", text=text)


def choices(*texts: str) -> GrammarSpec:
    return GrammarSpec(kind="choices", text=json.dumps(texts))


def record(*required: str, **properties: object) -> Mapping[str, object]:
    return {"type": "object", "properties": properties, "required": list(required)}


INTEGER, STRING, NULL = {"type": "integer"}, {"type": "string"}, {"type": "null"}
TOOLS = [
    {"name": "add", "parameters": record("a", "b", a=INTEGER, b=INTEGER)},
    {"name": "look", "parameters": record("key", key={"enum": ["x", "y"]})},
]
SCHEMAS: list[object] = [
    INTEGER,
    STRING,
    NULL,
    {"type": "boolean"},
    {"type": "number"},
    {"type": ["string", "null"], "minLength": 2},
    {"type": ["integer", "string"], "minimum": 3, "maxLength": 1},
    {"enum": ["a", 1, None, True, 1.5]},
    {"const": 'é"\\\n'},
    {"type": "string", "minLength": 2, "maxLength": 5},
    {"type": "string", "pattern": "^[a-c]{2,4}$"},
    {"type": "string", "format": "date"},
    {"type": "string", "format": "uuid"},
    {"type": "string", "format": "email"},
    {"type": "integer", "minimum": -7, "maximum": 130},
    {"type": "integer", "exclusiveMinimum": 3, "exclusiveMaximum": 5},
    {"type": "integer", "multipleOf": 3, "minimum": 4, "maximum": 20},
    {"type": "number", "minimum": 0, "maximum": 1},
    {"type": "array", "items": INTEGER, "minItems": 1, "maxItems": 3},
    {"type": "array", "prefixItems": [INTEGER, STRING], "minItems": 2, "maxItems": 2},
    {"type": "array", "prefixItems": [INTEGER], "items": {"type": "boolean"}},
    {"type": "array"},
    record("a", a=INTEGER, b=STRING),
    record(a=INTEGER, b=STRING, c=NULL),
    {**record("a", a=INTEGER), "additionalProperties": {"type": "boolean"}},
    {"type": "object", "additionalProperties": INTEGER, "minProperties": 1, "maxProperties": 2},
    {"type": "object", "propertyNames": {"pattern": "^k[0-9]$"}, "additionalProperties": INTEGER},
    {"anyOf": [INTEGER, STRING, NULL]},
    {"oneOf": [record("k", k={"const": "a"}), record("k", "n", k={"const": "b"}, n=INTEGER)]},
    {"allOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": INTEGER}},
    {
        "$ref": "#/$defs/Node",
        "$defs": {
            "Node": record("v", "n", v=INTEGER, n={"anyOf": [{"$ref": "#/$defs/Node"}, NULL]})
        },
    },
    record('q"é', **{'q"é': INTEGER}),
    {},
    True,
]
REGEXES = [
    "[a-z]+", "[^a]b?", "(yes|no)!?", r"\d{3}-\d{4}", r"\w+@\w+\.(com|org)", "a{2,5}b*", ".{3}",
    "(ab|cd){2}", r"[\x41-\x43]+", "é+|ü", r"-?(0|[1-9]\d*)(\.\d+)?", r"\s\S\s", "^start.*end$",
]  # fmt: skip
GRAMMARS = [
    'root ::= "a" | "b" root',
    "root ::= expr\nexpr ::= term (op term)*\nterm ::= [0-9]+ | \"(\" expr \")\"\nop ::= [-+*/]",
    'root ::= root "a" | "b"',
    'root ::= item{2,3}\nitem ::= [a-z] [0-9]? ";"',
    'root ::= "SELECT " col (", " col)* " FROM " tab\ncol ::= "a" | "b"\ntab ::= "t" [0-9]',
    'root ::= ("é" | "\\n" | "\\x41")+',
]  # fmt: skip
CORPUS: list[GrammarSpec] = [
    *map(schema, SCHEMAS),
    *map(regex, REGEXES),
    *map(ebnf, GRAMMARS),
    GrammarSpec(kind="json"),
    choices("yes", "no"),
    choices("a", "ab", 'abc"\n'),
    tool_call_tag(TOOLS),
    tool_call_tag(TOOLS, required=True),
    tool_call_tag(TOOLS, required="look"),
]


def allowed_ids(mask_W: torch.Tensor, vocab_size: int) -> list[int]:
    """The token ids whose bit is set."""
    flags: npt.NDArray[np.uint8] = np.unpackbits(mask_W.numpy().view(np.uint8), bitorder="little")
    ids: list[int] = np.flatnonzero(flags[:vocab_size]).tolist()
    return ids


def write(
    next_ids: Callable[[], list[int]],
    accept: Callable[[int], bool],
    *,
    texts: Mapping[int, bytes],
    end_id: int,
    rng: random.Random,
    num_free: int = 30,
) -> str:
    """Random allowed tokens; after ``num_free`` of them, those that lead to the end soonest.

    ``next_ids`` gives what is allowed now. The end is taken as soon as tokens are no longer free.
    """
    text = b""
    for num_tokens in range(2_000):
        ids = next_ids()
        assert ids, f"nothing may follow {text!r}"
        token_id = _choose(ids, texts, end_id, rng, is_free=num_tokens < num_free)
        assert accept(token_id)
        if token_id == end_id:
            return text.decode()
        text += texts[token_id]
    raise AssertionError(f"no end after {text[:200]!r}")


_CLOSERS = [mark.encode() for mark in '"}]nul01e, ']


def _choose(
    ids: list[int], texts: Mapping[int, bytes], end_id: int, rng: random.Random, *, is_free: bool
) -> int:
    if is_free:
        return rng.choice(ids)
    if end_id in ids:
        return end_id
    for closer in _CLOSERS:
        for token_id in ids:
            if texts[token_id] == closer:
                return token_id
    return rng.choice(ids)

"""From ``out=`` to a grammar for the engine and a parser for what comes back."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from inspect import isroutine
from typing import Annotated, Any, Generic, Literal, TypeVar, cast, get_args, get_origin

from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError
from pydantic.types import StringConstraints
from pydantic_core import SchemaError, from_json

from weft.errors import GrammarRejected, OutputInvalid, OutputTruncated
from weft.programs.grammar import GrammarSpec
from weft.programs.patterns import Ebnf, JsonSchema, Regex
from weft.programs.request import FinishReason

__all__ = ["Output", "output_of"]

T = TypeVar("T")

MAX_SHOWN = 200
"""Characters of bad output shown in an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output(Generic[T]):
    """The wanted type of a generation: what the engine enforces and how the text is read."""

    name: str
    """For people."""
    grammar: GrammarSpec | None
    """``None`` is free text."""
    parse: Callable[[str], T]
    """Raises ValueError (pydantic's ValidationError is one) when the text is not of the type."""
    is_self_delimiting: bool = False
    """Complete text cannot be the beginning of other complete text."""

    @property
    def is_json(self) -> bool:
        return self.grammar is not None and self.grammar.kind in ("json_schema", "json")

    def read(self, text: str, finish_reason: FinishReason) -> T:
        """The value that ``text`` stands for. Raises OutputTruncated, OutputInvalid."""
        if self.grammar is not None and finish_reason == "length":
            return self._read_cut(text)
        try:
            return self.parse(text)
        except ValueError as error:
            raise OutputInvalid(
                f"The model's output is not {self.name}: {_brief(error)}, got {_shown(text)}.",
                remedy="Enforce the grammar, retry, or widen the type.",
            ) from error

    def _read_cut(self, text: str) -> T:
        """Text that the token limit ended may still be whole, when its end shows."""
        try:
            if self.is_self_delimiting or text.lstrip()[:1] in ("{", "[", '"'):
                return self.parse(text)
            cause = None
        except ValueError as error:
            cause = error
        raise OutputTruncated(
            f"The token limit came before {self.name} was complete, got {_shown(text)}.",
            remedy="Raise max_tokens.",
        ) from cause


def output_of(out: object) -> Output[Any]:
    """The Output that ``out=`` asks for; ``None`` and ``str`` are free text, an Output is itself.

    Compiled types are kept, so that a call in a loop costs a look-up.
    Raises GrammarRejected when there is no grammar for it.
    """
    if out is None or out is str:
        return TEXT
    if isinstance(out, Output):
        known: Output[Any] = cast(Any, out)
        return known
    if isinstance(out, JsonSchema):
        return _from_schema(out.schema)
    if isinstance(out, Sequence) and not isinstance(out, str | bytes):
        return _from_choices(tuple(cast("Sequence[object]", out)))
    if isroutine(out) or not isinstance(out, Hashable):
        raise GrammarRejected(
            f"out={out!r} is not a type.",
            remedy="Give a type, a list of choices, Regex, Ebnf or JsonSchema.",
        )
    return _cached(out)


@lru_cache(maxsize=512)
def _cached(out: object) -> Output[Any]:
    if isinstance(out, Regex):
        return _from_regex(out.pattern)
    if isinstance(out, Ebnf):
        return Output(name="text of the grammar", grammar=_spec("ebnf", out.grammar), parse=_as_is)
    if get_origin(out) is Literal:
        return _from_literal(out)
    return _from_type(out)


def _as_is(text: str) -> str:
    return text


TEXT: Output[str] = Output(name="text", grammar=None, parse=_as_is)


def _spec(kind: Literal["json_schema", "regex", "ebnf", "choices"], text: str) -> GrammarSpec:
    return GrammarSpec(kind=kind, text=text)


@lru_cache(maxsize=512)
def _from_choices(choices: tuple[object, ...]) -> Output[str]:
    texts = [choice for choice in choices if isinstance(choice, str) and choice]
    if not texts or len(texts) != len(choices) or len(set(texts)) != len(texts):
        raise GrammarRejected(
            f"out={list(choices)!r} is no list of choices.",
            remedy="Give at least one string; each once, none empty.",
        )
    return _from_table({text: text for text in texts})


def _from_literal(out: object) -> Output[Any]:
    values = get_args(out)
    table = {value if isinstance(value, str) else json.dumps(value): value for value in values}
    if len(table) != len(values) or "" in table:
        raise GrammarRejected(
            f"out={out!r} has members that read the same.",
            remedy="Give members whose texts differ and are not empty.",
        )
    return _from_table(table)


def _from_table(table: Mapping[str, T]) -> Output[T]:
    name = "one of " + ", ".join(map(repr, table))

    def parse(text: str) -> T:
        if text not in table:
            raise ValueError("no such choice")
        return table[text]

    texts = list(table)
    is_clear = not any(a != b and b.startswith(a) for a in texts for b in texts)
    grammar = _spec("choices", json.dumps(texts, ensure_ascii=False))
    return Output(name=name, grammar=grammar, parse=parse, is_self_delimiting=is_clear)


def _from_regex(pattern: str) -> Output[str]:
    """Validated by a linear-time matcher: a pattern cannot make it hang."""
    anchored = f"^(?:{pattern})$"
    try:
        adapter: TypeAdapter[str] = TypeAdapter(Annotated[str, StringConstraints(pattern=anchored)])
    except SchemaError as error:
        raise GrammarRejected(
            f"Regex({pattern!r}) cannot be used: {_brief(error)}.",
            remedy="Use a regular expression without look-around and back-references.",
        ) from error
    name = f"text matching {pattern!r}"
    parse = adapter.validate_python
    return Output(name=name, grammar=_spec("regex", pattern), parse=parse)


def _from_schema(schema: Mapping[str, object]) -> Output[object]:
    try:
        text = json.dumps(schema, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise GrammarRejected(
            f"JsonSchema({schema!r}) is not JSON.", remedy="Give JSON-shaped data."
        ) from error
    return Output(name="JSON of the schema", grammar=_spec("json_schema", text), parse=_read_json)


def _read_json(text: str) -> object:
    value: object = from_json(text, allow_inf_nan=False)
    return value


def _from_type(out: Any) -> Output[Any]:
    name = getattr(out, "__name__", None) or str(out)
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(out)
        schema = adapter.json_schema()
    except (PydanticUserError, PydanticSchemaGenerationError) as error:
        raise GrammarRejected(
            f"out={out!r} has no JSON Schema: {_brief(error)}.",
            remedy="Give a pydantic model, a dataclass, or builtin types.",
        ) from error
    text = json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
    grammar = _spec("json_schema", text)
    return Output(name=f"a valid {name}", grammar=grammar, parse=adapter.validate_json)


def _brief(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        return f"{where + ': ' if where else ''}{first['msg']}"
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[-1].strip().rstrip(".")


def _shown(text: str) -> str:
    return repr(text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…")

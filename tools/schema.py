"""JSON Schemas in the one form weft shows to models and compiles to grammars."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from pydantic import BaseModel
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind

__all__ = ["StrictJsonSchema", "arguments_schema"]

_FIRST_KEYS = ("type", "description", "properties", "required", "additionalProperties")
_NAMED_SCHEMAS = frozenset({"properties", "$defs", "patternProperties"})
_PLAIN_VALUES = frozenset({"default", "const", "enum", "examples"})


class StrictJsonSchema(GenerateJsonSchema):
    """Pydantic's generator without made-up titles, failing where pydantic would only warn."""

    def field_title_should_be_set(self, schema: object) -> bool:
        """Never: a title derived from a name tells a model nothing and costs tokens."""
        return False

    def emit_warning(self, kind: JsonSchemaWarningKind, detail: str) -> None:
        """Raise, so that a default that is not data is found when the tool is defined."""
        raise PydanticInvalidForJsonSchema(detail)


def arguments_schema(model: type[BaseModel]) -> dict[str, object]:
    """The schema of a tool's arguments: type first, then properties in signature order."""
    schema = model.model_json_schema(schema_generator=StrictJsonSchema)
    del schema["title"]
    return _ordered(schema)


def _ordered(schema: Mapping[str, object]) -> dict[str, object]:
    """The same schema with its keys in reading order; properties keep theirs."""
    keys = [key for key in _FIRST_KEYS if key in schema]
    keys += [key for key in schema if key not in _FIRST_KEYS]
    return {key: _ordered_part(key, schema[key]) for key in keys}


def _ordered_part(key: str, part: object) -> object:
    if key in _PLAIN_VALUES:
        return part
    if key in _NAMED_SCHEMAS:
        named = cast("dict[str, object]", part)
        return {name: _ordered_any(schema) for name, schema in named.items()}
    return _ordered_any(part)


def _ordered_any(part: object) -> object:
    if isinstance(part, dict):
        return _ordered(cast("dict[str, object]", part))
    if isinstance(part, list):
        return [_ordered_any(schema) for schema in cast("list[object]", part)]
    return part

"""What a tool returns: of the annotated type, and data that can be recorded."""

from __future__ import annotations

import json
from typing import Any, Generic, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from weft.errors import ToolDefinitionError, ToolResultInvalid
from weft.tools.problems import describe_error, list_problems
from weft.tools.schema import StrictJsonSchema

__all__ = ["ResultType"]

T = TypeVar("T")


class ResultType(Generic[T]):
    """The return type of one tool, with its way to JSON-shaped data and back."""

    def __init__(self, tool: str, annotation: object, max_bytes: int) -> None:
        self._tool = tool
        self._max_bytes = max_bytes
        try:
            self._adapter: TypeAdapter[T] = TypeAdapter(cast("Any", annotation))
            self._adapter.json_schema(mode="serialization", schema_generator=StrictJsonSchema)
        except Exception as error:
            why = describe_error(error)
            raise ToolDefinitionError(
                f"Tool {tool!r} returns {annotation!r}, which is not data: {why}.",
                remedy="Return JSON-shaped data, a pydantic model or a dataclass.",
            ) from error

    def check(self, value: object) -> T:
        """The value, validated strictly (no coercion) and known to encode within the cap.

        Raises ToolResultInvalid.
        """
        try:
            checked = self._adapter.validate_python(value, strict=True)
            num_bytes = len(_encode(self._dump(checked)))
        except ValidationError as error:
            raise self._invalid(list_problems(error, "result")) from error
        except Exception as error:
            raise self._invalid(describe_error(error)) from error
        if num_bytes > self._max_bytes:
            raise self._invalid(f"{num_bytes} bytes as JSON, over the cap of {self._max_bytes}")
        return checked

    def dump(self, value: T) -> object:
        """A checked result as JSON-shaped data."""
        return self._dump(value)

    def load(self, data: object) -> T:
        """The result that ``dump`` gave as data. Raises ToolResultInvalid."""
        try:
            return self._adapter.validate_json(_encode(data), strict=True)
        except Exception as error:
            raise self._invalid(describe_error(error)) from error

    def _dump(self, value: T) -> object:
        dumped: object = self._adapter.dump_python(value, mode="json", warnings="error")
        return dumped

    def _invalid(self, what: str) -> ToolResultInvalid:
        return ToolResultInvalid(
            f"Tool {self._tool!r} returned an invalid result: {what}.",
            tool=self._tool,
            remedy="A result is finite JSON-shaped data of the annotated return type.",
        )


def _encode(data: object) -> bytes:
    """Strict JSON: NaN, infinities, cycles and lone surrogates raise instead of slipping in."""
    return json.dumps(data, allow_nan=False, ensure_ascii=False).encode()

"""From a function's signature to the arguments a model may send it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NewType, cast, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, from_json, to_json

from weft.errors import InvalidRequest, ToolArgumentsInvalid, ToolDefinitionError
from weft.tools.arguments import MAX_ARGUMENT_BYTES
from weft.tools.problems import describe_error, list_problems
from weft.tools.schema import StrictJsonSchema, arguments_schema

__all__ = ["Bound", "IdemKey", "Signature", "underlying"]

IdemKey = NewType("IdemKey", str)
"""Marks the parameter of a write tool that receives a stable idempotency key.

It is the same for every attempt of one call and is never part of the schema a model sees.
"""

_EMPTY = inspect.Parameter.empty
_REMEDIES = {
    inspect.Parameter.VAR_POSITIONAL: "Take one list instead.",
    inspect.Parameter.VAR_KEYWORD: "Name every argument, or take one dict.",
    inspect.Parameter.POSITIONAL_ONLY: "Remove the '/': arguments arrive by name.",
}


class Bound(NamedTuple):
    """A Python call by name: what the model would have sent, and the key when one was given."""

    arguments: dict[str, object]
    key: str | None


class Signature:
    """What one tool accepts. Raises ToolDefinitionError when a model could not fill it in."""

    def __init__(
        self,
        tool: str,
        fn: Callable[..., object],
        *,
        can_have_key: bool,
        descriptions: Mapping[str, str],
    ) -> None:
        self._tool = tool
        self._signature = inspect.signature(fn)
        hints = _type_hints(tool, fn)
        self.returns = hints.get("return", _EMPTY)
        """The return annotation."""
        self._key_name = self._find_key(hints, can_have_key)
        fields = {
            name: self._field(parameter, hints.get(name, _EMPTY), descriptions.get(name))
            for name, parameter in self._signature.parameters.items()
            if name != self._key_name
        }
        # Numbered fields under an alias: an argument may then have any name, even ``schema``.
        self._names = {f"arg{at}": name for at, name in enumerate(fields)}
        numbered: dict[str, Any] = dict(zip(self._names, fields.values(), strict=True))
        config = ConfigDict(extra="forbid", allow_inf_nan=False)
        self._model: type[BaseModel] = create_model("Arguments", __config__=config, **numbered)
        self.schema = arguments_schema(self._model)
        """JSON Schema of the arguments object."""

    def validate(self, arguments: Mapping[str, object]) -> dict[str, object]:
        """The keyword arguments for the function; those left out keep the function's defaults.

        Values are read as JSON, strictly: "3" is no integer, a list becomes the annotated tuple,
        an ISO string the annotated date. Raises ToolArgumentsInvalid with every problem.
        """
        try:
            text = to_json(dict(arguments), inf_nan_mode="constants")
            if len(text) > MAX_ARGUMENT_BYTES:
                raise self._invalid(f"{len(text)} bytes, over the cap of {MAX_ARGUMENT_BYTES}")
            if b"NaN" in text or b"Infinity" in text:
                from_json(text, allow_inf_nan=False)
            checked = self._model.model_validate_json(text, strict=True)
        except ToolArgumentsInvalid:
            raise
        except ValidationError as error:
            raise self._invalid(list_problems(error, "arguments")) from error
        except Exception as error:
            raise self._invalid(describe_error(error)) from error
        return {self._names[field]: getattr(checked, field) for field in checked.model_fields_set}

    def with_key(self, arguments: dict[str, object], key: str | None) -> dict[str, object]:
        """Add the idempotency key where the function wants one. Raises InvalidRequest."""
        if self._key_name is None:
            return arguments
        if key is not None:
            return {**arguments, self._key_name: key}
        if self._signature.parameters[self._key_name].default is _EMPTY:
            raise InvalidRequest(
                f"Tool {self._tool!r} was called without an idempotency key.",
                remedy="Pass key=, the same for every attempt of one call.",
            )
        return arguments

    def bind(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> Bound:
        """Name the arguments of a Python call, values untouched. Raises ToolArgumentsInvalid."""
        try:
            arguments = dict(self._signature.bind_partial(*args, **kwargs).arguments)
        except TypeError as error:
            raise self._invalid(str(error)) from error
        key = arguments.pop(self._key_name, None) if self._key_name else None
        return Bound(arguments, None if key is None else str(key))

    def _find_key(self, hints: Mapping[str, object], can_have_key: bool) -> str | None:
        names = [name for name in self._signature.parameters if hints.get(name) is IdemKey]
        if len(names) > 1:
            raise self._undefinable(names[1], "is a second idempotency key", "Keep one.")
        if names and not can_have_key:
            remedy = "Declare the tool with effect='write', or remove the argument."
            raise self._undefinable(
                names[0], "is an idempotency key in a tool that writes not", remedy
            )
        return names[0] if names else None

    def _field(
        self, parameter: inspect.Parameter, annotation: object, description: str | None
    ) -> tuple[object, object]:
        name = parameter.name
        if parameter.kind in _REMEDIES:
            kind = parameter.kind.description
            raise self._undefinable(name, f"is {kind}", _REMEDIES[parameter.kind])
        if annotation is _EMPTY or annotation is Any or annotation is object:
            remedy = "Annotate it, for instance `: str`; pydantic.JsonValue accepts any JSON."
            raise self._undefinable(name, "has no type", remedy)
        self._check_type(name, annotation)
        default = self._default(parameter, annotation)
        described = FieldInfo.from_annotation(cast("Any", annotation)).description
        field: object = Field(
            default,
            alias=name,
            validation_alias=name,
            serialization_alias=name,
            description=described or description,
        )
        return annotation, field

    def _check_type(self, name: str, annotation: object) -> None:
        try:
            adapter: TypeAdapter[object] = TypeAdapter(cast("Any", annotation))
            schema = adapter.json_schema(schema_generator=StrictJsonSchema)
            json.dumps(schema, allow_nan=False)
        except Exception as error:
            what = f"has the type {annotation!r}, which has no JSON Schema: {describe_error(error)}"
            raise self._undefinable(name, what, "Use JSON-shaped types or a model.") from error

    def _default(self, parameter: inspect.Parameter, annotation: object) -> object:
        """The default, which must be of the annotated type and be data."""
        default: object = parameter.default
        if default is _EMPTY:
            return PydanticUndefined
        adapter: TypeAdapter[object] = TypeAdapter(cast("Any", annotation))
        try:
            adapter.validate_python(default, strict=True)
            json.dumps(adapter.dump_python(default, mode="json", warnings="error"), allow_nan=False)
        except Exception as error:
            what = f"has the default {default!r}, which does not fit its type {annotation!r}"
            remedy = "Widen the annotation, or write constraints as Annotated[..., Field(...)]."
            raise self._undefinable(parameter.name, what, remedy) from error
        return default

    def _undefinable(self, argument: str, what: str, remedy: str) -> ToolDefinitionError:
        return ToolDefinitionError(
            f"Argument {argument!r} of tool {self._tool!r} {what}.", remedy=remedy
        )

    def _invalid(self, what: str) -> ToolArgumentsInvalid:
        return ToolArgumentsInvalid(
            f"Invalid arguments for tool {self._tool!r}: {what}.",
            tool=self._tool,
            remedy="Send exactly the arguments of its JSON Schema.",
        )


def underlying(fn: Callable[..., object]) -> Callable[..., object]:
    """Where the annotations and the docstring of a function or a callable object are."""
    return fn if inspect.isroutine(fn) else type(fn).__call__


def _type_hints(tool: str, fn: Callable[..., object]) -> dict[str, object]:
    try:
        return get_type_hints(underlying(fn), include_extras=True)
    except Exception as error:
        raise ToolDefinitionError(
            f"The annotations of tool {tool!r} cannot be read: {describe_error(error)}.",
            remedy="Import or define the types at the top of the module.",
        ) from error

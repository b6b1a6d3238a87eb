"""A function's parameters and return type, as far as data must fit them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, get_type_hints

from pydantic import ConfigDict, PydanticSchemaGenerationError, TypeAdapter, ValidationError

from weft.errors import InvalidRequest, ProgramError, WrongReturnType

__all__ = ["Arguments", "Signature"]


class Arguments(NamedTuple):
    """What to call a function with."""

    args: tuple[object, ...]
    kwargs: dict[str, object]


class Signature:
    """Reads annotations once, when first needed, so that a decorator costs nothing at import.

    ``names`` are the local names where the function was defined, for types made in a function.
    """

    def __init__(self, function: Callable[..., object], names: Mapping[str, object]) -> None:
        self._function = function
        self._names = dict(names)
        self._hints: dict[str, Any] | None = None
        self._adapters: dict[str, TypeAdapter[Any]] = {}

    @property
    def hints(self) -> dict[str, Any]:
        """Annotations by parameter name, and ``return``. Raises ProgramError for unknown names."""
        if self._hints is None:
            try:
                self._hints = get_type_hints(self._function, None, self._names, True)
            except NameError as error:
                raise ProgramError(
                    f"The annotations of {self._function!r} cannot be read: {error}.",
                    remedy="Define or import the type where the function can see it.",
                ) from error
            self._names = {}
        return self._hints

    def check_result(self, value: object) -> None:
        """Raise WrongReturnType unless the value is what the annotation says, as it is."""
        if "return" not in self.hints:
            return
        try:
            self._adapter("return").validate_python(value, strict=True)
        except ValidationError as error:
            name = getattr(self._function, "__name__", "function")
            first = error.errors(include_url=False)[0]
            raise WrongReturnType(
                f"{name}() returned {value!r}, not {_shown(self.hints['return'])}: {first['msg']}.",
                remedy="Return what the annotation says, or correct it.",
            ) from error

    def bind_json(self, data: Mapping[str, object]) -> Arguments:
        """Arguments from JSON-shaped data by parameter name, validated and converted.

        Raises InvalidRequest naming the parameter that is unknown, missing or wrong.
        """
        parameters = inspect.signature(self._function).parameters
        for name in data:
            if name not in parameters:
                raise InvalidRequest(
                    f"Input {name!r} is no parameter.", remedy=f"Known are: {list(parameters)}."
                )
        positional: list[object] = []
        named: dict[str, object] = {}
        for name, parameter in parameters.items():
            if name in data:
                value = self._convert(name, data[name])
            elif parameter.default is inspect.Parameter.empty:
                raise InvalidRequest(f"Input {name!r} is missing.", remedy="Give a value for it.")
            else:
                value = parameter.default
            if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
                positional.append(value)
            else:
                named[name] = value
        return Arguments(tuple(positional), named)

    def _convert(self, name: str, value: object) -> object:
        if name not in self.hints:
            return value
        try:
            converted: object = self._adapter(name).validate_python(value)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join([name, *map(str, first["loc"])])
            raise InvalidRequest(
                f"Input {where} is {first['input']!r}: {first['msg']}.",
                remedy=f"Give {_shown(self.hints[name])}.",
            ) from error
        return converted

    def _adapter(self, name: str) -> TypeAdapter[Any]:
        adapter = self._adapters.get(name)
        if adapter is None:
            adapter = self._adapters[name] = _adapter_of(self.hints[name])
        return adapter


def _adapter_of(hint: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(hint)
    except PydanticSchemaGenerationError:
        return TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))


def _shown(hint: object) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint)

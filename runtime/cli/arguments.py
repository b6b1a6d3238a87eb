"""A program's arguments from ``--input`` and ``--set``, checked against its signature."""

from __future__ import annotations

import inspect
import json
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pydantic import ConfigDict, PydanticSchemaGenerationError, TypeAdapter, ValidationError

from weft.errors import CallerError
from weft.runtime.cli.problem import closest

__all__ = ["bind_arguments", "read_arguments"]


def read_arguments(input_text: str | None, settings: Sequence[str]) -> dict[str, object]:
    """The object of ``--input`` (JSON, ``@file`` or ``@-`` for standard input), then each
    ``k=v``. A value stays text here: only the signature knows what it should be.

    Raises CallerError.
    """
    arguments = {} if input_text is None else _json_object(_text_of(input_text))
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name.isidentifier():
            raise CallerError(f"--set got {setting!r}.", remedy="Write --set name=value.")
        arguments[name] = _Text(value)
    return arguments


def bind_arguments(
    function: Callable[..., object], given: Mapping[str, object]
) -> dict[str, object]:
    """``given`` converted to the types that ``function`` annotates.

    Raises CallerError for an unknown or missing argument, or one that does not fit its type.
    """
    parameters = inspect.signature(function).parameters
    for name in given:
        if name not in parameters:
            remedy = closest(name, parameters) or "It takes none."
            raise CallerError(f"The program has no argument {name!r}.", remedy=remedy)
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in given:
            raise CallerError(
                f"The program's argument {name!r} is missing.",
                remedy=f"Add --set {name}=… or --input '{{\"{name}\": …}}'.",
            )
    types = typing.get_type_hints(function, include_extras=True)
    return {name: _converted(name, value, types.get(name)) for name, value in given.items()}


class _Text(str):
    """A value from ``--set``: text that may stand for JSON."""


def _converted(name: str, value: object, wanted: object) -> object:
    if isinstance(value, _Text):
        value = str(value) if wanted is str else _data(value)
    if wanted is None:
        return value
    try:
        return _adapter(wanted).validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = "".join(f"[{part!r}]" for part in first["loc"])
        raise CallerError(
            f"The program's argument {name}{place} is {first['input']!r}.",
            remedy=f"{first['msg']}.",
        ) from error


def _adapter(wanted: object) -> TypeAdapter[object]:
    try:
        return TypeAdapter(wanted)
    except PydanticSchemaGenerationError:
        return TypeAdapter(wanted, config=ConfigDict(arbitrary_types_allowed=True))


def _data(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return str(text)


def _text_of(input_text: str) -> str:
    if not input_text.startswith("@"):
        return input_text
    if input_text == "@-":
        return sys.stdin.read()
    path = Path(input_text[1:])
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CallerError(
            f"--input cannot read {str(path)!r}: {error}.", remedy="Give a text file of JSON."
        ) from error


def _json_object(text: str) -> dict[str, object]:
    try:
        value: object = json.loads(text)
    except ValueError as error:
        raise CallerError(
            f"--input is no JSON: {error}.", remedy='Write --input \'{"name": "value"}\'.'
        ) from error
    if not isinstance(value, dict):
        raise CallerError(
            f"--input is {value!r}.", remedy="It must be a JSON object of the program's arguments."
        )
    return typing.cast(dict[str, object], value)

"""A program's arguments from ``--input`` and ``--set``."""

from __future__ import annotations

import inspect
import json
import sys
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError

from weft.errors import CallerError
from weft.programs.entry import Program
from weft.programs.signature import Arguments
from weft.runtime.cli.problem import closest

__all__ = ["bind_arguments", "read_input", "read_settings"]


def read_input(text: str | None) -> dict[str, object]:
    """The object of ``--input``: JSON, ``@file`` or ``@-`` for standard input.

    Raises CallerError.
    """
    return {} if text is None else _json_object(_text_of(text))


def read_settings(settings: Sequence[str]) -> dict[str, str]:
    """The texts of ``--set name=value``; the last one of a name wins. Raises CallerError."""
    texts: dict[str, str] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name.isidentifier():
            raise CallerError(f"--set got {setting!r}.", remedy="Write --set name=value.")
        texts[name] = value
    return texts


def bind_arguments(
    program: Program[..., Any], data: Mapping[str, object], texts: Mapping[str, str]
) -> Arguments:
    """``data``, then ``texts``, as the program's parameters want them.

    A text is JSON unless its parameter takes text. Raises CallerError for a name that is no
    parameter, InvalidRequest for a value that is missing or does not fit.
    """
    parameters = inspect.signature(program.__wrapped__).parameters
    for name in (*data, *texts):
        if name not in parameters:
            remedy = closest(name, parameters) or "It takes no arguments."
            raise CallerError(f"Program {program.name!r} has no argument {name!r}.", remedy=remedy)
    hints = typing.get_type_hints(program.__wrapped__, include_extras=True) if texts else {}
    read = {name: _value(text, hints.get(name, object)) for name, text in texts.items()}
    return program.bind_json({**data, **read})


def _value(text: str, wanted: Any) -> object:
    if wanted is not object and _takes_text(text, wanted):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _takes_text(text: str, wanted: Any) -> bool:
    try:
        TypeAdapter(wanted).validate_python(text, strict=True)
    except (ValidationError, PydanticSchemaGenerationError):
        return False
    return True


def _text_of(text: str) -> str:
    if not text.startswith("@"):
        return text
    if text == "@-":
        return sys.stdin.read()
    path = Path(text[1:])
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
    return typing.cast("dict[str, object]", value)

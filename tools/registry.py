"""The tools one model may call, by name."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from weft.errors import ToolDefinitionError, ToolNotFound
from weft.tools.arguments import parse_json_object
from weft.tools.tool import Tool

__all__ = ["ToolRegistry"]

MAX_NAME_LENGTH = 64


class ToolRegistry:
    """An immutable collection of tools in the order given.

    Raises ToolDefinitionError when two have the same name.
    """

    def __init__(self, tools: Iterable[Tool[..., Any]] = ()) -> None:
        by_name: dict[str, Tool[..., Any]] = {}
        for tool in tools:
            if tool.name in by_name:
                raise ToolDefinitionError(
                    f"Two tools are called {tool.name!r}.", remedy="Give one another name=."
                )
            by_name[tool.name] = tool
        self._tools: Mapping[str, Tool[..., Any]] = MappingProxyType(by_name)

    def __len__(self) -> int:
        return len(self._tools)

    def __iter__(self) -> Iterator[Tool[..., Any]]:
        return iter(self._tools.values())

    def __contains__(self, name: object) -> bool:
        return name in self._tools

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._tools)

    def get(self, name: str) -> Tool[..., Any]:
        """The tool of that name. Raises ToolNotFound, which says what there is."""
        tool = self._tools.get(name)
        if tool is None:
            raise ToolNotFound(
                f"There is no tool {reprlib.repr(name)}.", tool=name, remedy=self._hint(name)
            )
        return tool

    def json_schemas(self) -> tuple[dict[str, object], ...]:
        """``{"name", "description", "parameters"}`` of every tool, for a chat template."""
        return tuple(tool.json_schema() for tool in self)

    async def call(
        self, name: str, arguments: str | bytes | Mapping[str, object], *, key: str | None = None
    ) -> object:
        """Invoke a tool by name, with arguments as JSON text or as a mapping.

        Raises ToolNotFound, ToolArgumentsInvalid and whatever ``Tool.invoke`` raises.
        """
        tool = self.get(name)
        if isinstance(arguments, (str, bytes)):
            arguments = parse_json_object(arguments, tool=name)
        result: object = await tool.invoke(arguments, key=key)
        return result

    def _hint(self, name: str) -> str:
        close = difflib.get_close_matches(name[:MAX_NAME_LENGTH], self._tools)
        names = ", ".join(close or self._tools) or "none"
        return f"Did you mean {names}?" if close else f"The tools are: {names}."

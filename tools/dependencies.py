"""Which arguments of a tool depend on which others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

from weft.errors import ToolDefinitionError

__all__ = ["check_depends"]


def check_depends(
    tool: str, names: Iterable[str], depends: Mapping[str, Iterable[str]]
) -> dict[str, tuple[str, ...]]:
    """By argument, all it depends on, directly or not, in the order of ``names``; only arguments
    that depend on something are in it.

    Raises ToolDefinitionError for an unknown argument and a circle.
    """
    order = tuple(names)
    direct = {argument: _names(tool, argument, given) for argument, given in depends.items()}
    unknown = [name for name in (*direct, *sum(direct.values(), ())) if name not in order]
    if unknown:
        raise ToolDefinitionError(
            f"Tool {tool!r} depends on {unknown[0]!r}, which is no argument of it.",
            remedy=f"Its arguments are {', '.join(order) or 'none'}.",
        )
    try:
        sequence = tuple(TopologicalSorter(direct).static_order())
    except CycleError as error:
        raise ToolDefinitionError(
            f"Arguments of tool {tool!r} depend on one another in a circle: {error.args[1]!r}.",
            remedy="Let at least one of them stand alone.",
        ) from error
    needed: dict[str, set[str]] = {}
    for argument in sequence:
        own = direct.get(argument, ())
        needed[argument] = set(own).union(*(needed[name] for name in own))
    return {
        argument: tuple(name for name in order if name in needed[argument])
        for argument in direct
        if needed[argument]
    }


def _names(tool: str, argument: str, given: Iterable[str]) -> tuple[str, ...]:
    if isinstance(given, str):
        raise ToolDefinitionError(
            f"Tool {tool!r} has depends={{{argument!r}: {given!r}}}.",
            remedy=f"Give a tuple of names: ({given!r},).",
        )
    return tuple(given)

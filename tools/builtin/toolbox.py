"""The built-in tools for one workspace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from weft.errors import InvalidRequest, SandboxUnavailable
from weft.tools.builtin.files import files_tools
from weft.tools.builtin.ground import Ground
from weft.tools.builtin.http import HttpOptions, http_tools
from weft.tools.builtin.place import Place, SandboxPlace
from weft.tools.builtin.python import fresh_python_tool, stateful_python_tool
from weft.tools.builtin.python_session import PythonSession
from weft.tools.builtin.shell import shell_tool
from weft.tools.calculator import calculator_tool
from weft.tools.environment import Preparation
from weft.tools.registry import ToolRegistry
from weft.tools.sandbox import Sandbox, SandboxLevel, SandboxLimits, SandboxReport, probe
from weft.tools.sqlite import sqlite_tool
from weft.tools.tool import Tool
from weft.tools.workspace import Workspace

__all__ = ["ToolboxOptions", "open_toolbox"]

T = TypeVar("T")

GIB = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolboxOptions:
    """Which tools there are, and within what they work. Raises InvalidRequest at construction."""

    python: Literal["stateful", "fresh", "off"] = "stateful"
    """``stateful`` keeps variables from call to call; ``fresh`` starts a process for each."""
    has_shell: bool = True
    has_files: bool = True
    has_calculator: bool = True
    database: Path | None = None
    """A SQLite file that the tool ``sql`` reads."""
    writes_database: bool = False
    """Whether ``sql`` may change it too, statement by statement."""
    http: HttpOptions | None = None
    """None: nothing is fetched."""
    limits: SandboxLimits = SandboxLimits()
    """Of a sandboxed call that asks for nothing."""
    quota: SandboxLimits = SandboxLimits(memory_bytes=2 * GIB, wall_s=600)
    """The most that a call may ask for."""
    max_workspace_bytes: int = GIB
    """What the workspace may hold after any number of calls, beside what it shares."""
    max_chars: int = 8_000
    """Characters of one text of a result; what is longer loses its middle."""

    def __post_init__(self) -> None:
        for name in ("max_workspace_bytes", "max_chars"):
            value: int = getattr(self, name)
            if value < 1:
                raise InvalidRequest(f"{name} is {value!r}.", remedy="It must be positive.")

    @property
    def needs_sandbox(self) -> bool:
        return self.has_shell or self.python != "off"


@asynccontextmanager
async def open_toolbox(
    workspace: Path | Workspace | Awaitable[Path | Workspace],
    options: ToolboxOptions | None = None,
    *,
    report: SandboxReport | None = None,
) -> AsyncGenerator[ToolRegistry]:
    """Tools over one workspace, for the length of the context.

    They can be offered to a model at once: the sandbox, and a ``workspace`` that is still being
    prepared, are waited for by the first call that needs them. ``report`` is what ``probe`` found;
    left out, the machine is probed. Leaving the context ends all processes; the workspace stays.

    Raises SandboxUnavailable, with the reasons, where code is to be run and cannot be confined.
    """
    options = options or ToolboxOptions()
    async with AsyncExitStack() as stack:
        ground = _prepared(stack, "workspace", _ground(workspace))
        caps = options.max_workspace_bytes, options.max_chars
        place = Place(ground=ground, max_workspace_bytes=caps[0], max_chars=caps[1])
        tools = [*_plain_tools(place, options)]
        if options.needs_sandbox:
            if report is None:
                report = await asyncio.to_thread(probe)
            _check_level(report)
            sandbox = _prepared(stack, "sandbox", _sandbox(report, ground, options.limits))
            sandboxed = SandboxPlace(
                ground=ground,
                max_workspace_bytes=caps[0],
                max_chars=caps[1],
                sandbox=sandbox,
                limits=options.limits,
                quota=options.quota,
            )
            tools = [*_sandboxed_tools(stack, sandboxed, options), *tools]
        yield ToolRegistry(tools)


def _prepared(
    stack: AsyncExitStack, name: str, opening: AbstractAsyncContextManager[T]
) -> Preparation[T]:
    preparation = Preparation(name, opening)
    stack.push_async_callback(preparation.collect)
    return preparation


@asynccontextmanager
async def _ground(
    given: Path | Workspace | Awaitable[Path | Workspace],
) -> AsyncGenerator[Ground]:
    yield Ground.of(given if isinstance(given, Path | Workspace) else await given)


@asynccontextmanager
async def _sandbox(
    report: SandboxReport, prepared: Preparation[Ground], limits: SandboxLimits
) -> AsyncGenerator[Sandbox]:
    ground = await prepared
    async with ground.open_sandbox(report, limits) as sandbox:
        yield sandbox


def _check_level(report: SandboxReport) -> None:
    if report.level == SandboxLevel.NONE:
        raise SandboxUnavailable(
            "This machine cannot confine code, so no tool for python or shell is made.",
            remedy=" ".join((*report.reasons, "Or turn both off in ToolboxOptions.")),
        )


def _sandboxed_tools(
    stack: AsyncExitStack, place: SandboxPlace, options: ToolboxOptions
) -> Iterator[Tool[..., Any]]:
    if options.python == "fresh":
        yield fresh_python_tool(place)
    elif options.python == "stateful":
        session = PythonSession(place)
        stack.push_async_callback(session.close)
        yield stateful_python_tool(place, session)
    if options.has_shell:
        yield shell_tool(place)


def _plain_tools(place: Place, options: ToolboxOptions) -> Iterator[Tool[..., Any]]:
    if options.has_files:
        yield from files_tools(place)
    if options.has_calculator:
        yield calculator_tool()
    if options.database is not None:
        yield sqlite_tool(options.database, writes=options.writes_database)
    if options.http is not None:
        yield from http_tools(options.http)

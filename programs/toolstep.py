"""Tools as Steps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Generic, ParamSpec, Protocol, TypedDict, TypeVar, Unpack, cast, overload

from weft.programs.function import Orderable
from weft.programs.handle import Step
from weft.programs.retry import Retry
from weft.programs.strand import CURRENT, current_strand
from weft.tools import Effect, Tool, ToolOptions, ToolResources, as_tool

__all__ = ["ToolStep", "ToolStepOptions", "tool"]

P = ParamSpec("P")
T = TypeVar("T")


class ToolStepOptions(TypedDict, total=False):
    """What ``@tool`` takes: see ToolOptions, and ``retries`` for the Step."""

    name: str | None
    description: str | None
    effect: Effect
    timeout_s: float | None
    max_concurrency: int | None
    max_result_bytes: int
    depends: Mapping[str, Sequence[str]]
    resources: ToolResources
    retries: int | Retry


class ToolStep(Orderable, Generic[P, T]):
    """A tool that programs call. Inside a Run a call is checked, limited and gives a Step;
    outside it is the function.

    A write tool that declares an IdemKey argument and is given none receives one that is the
    same in every attempt.
    """

    def __init__(self, tool: Tool[P, T], *, retries: int | Retry = 0) -> None:
        super().__init__(tool.fn, kind="tool", name=tool.name, retries=retries)
        self.__wrapped__ = self._invoke
        self.__doc__ = tool.fn.__doc__
        self.tool = tool
        """For registries and for models: its schema, description and limits."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Step[T]:
        strand = CURRENT.get()
        if strand is None:
            return cast("Step[T]", self.tool.fn(*args, **kwargs))
        return self.order(strand, args, kwargs)

    def order_named(self, arguments: Mapping[str, object]) -> Step[T]:
        """Submit a call whose arguments come by name and as data, as a model writes them.

        Anything that is no argument of the schema fails the Step: a key cannot be forged.
        """
        strand = current_strand(f"{self.name}()")
        call = replace(self.call((arguments,), {}), function=self._invoke_named)
        return strand.runner.submit(call, strand)

    async def _invoke_named(self, arguments: Mapping[str, object]) -> T:
        runner = current_strand(self.name).runner
        return await runner.tools.call(self.tool, arguments, key=runner.key)

    async def _invoke(self, *args: P.args, **kwargs: P.kwargs) -> T:
        arguments, key = self.tool.bind(*args, **kwargs)
        runner = current_strand(self.name).runner
        return await runner.tools.call(self.tool, arguments, key=key or runner.key)


class _ToolDecorator(Protocol):
    @overload
    def __call__(self, function: Callable[P, Awaitable[T]], /) -> ToolStep[P, T]: ...
    @overload
    def __call__(self, function: Callable[P, T], /) -> ToolStep[P, T]: ...


@overload
def tool(function: Callable[P, Awaitable[T]], /) -> ToolStep[P, T]: ...
@overload
def tool(function: Callable[P, T], /) -> ToolStep[P, T]: ...
@overload
def tool(**options: Unpack[ToolStepOptions]) -> _ToolDecorator: ...
def tool(
    function: Callable[..., Any] | None = None, /, **options: Unpack[ToolStepOptions]
) -> object:
    """Make a typed function a tool: ``@tool`` or ``@tool(effect="write", timeout_s=5)``.

    Raises ToolDefinitionError for a function that cannot be one.
    """
    retries = options.pop("retries", 0)
    declared = cast("ToolOptions", options)

    def decorate(function: Callable[..., Any]) -> ToolStep[..., Any]:
        return ToolStep(as_tool(function, **declared), retries=retries)

    return decorate if function is None else decorate(function)

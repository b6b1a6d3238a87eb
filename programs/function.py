"""Python functions as Steps: the base of ``step``, ``verifier``, ``tool`` and ``program``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, cast, overload

from weft.programs.budget import Budget
from weft.programs.calls import FunctionCall
from weft.programs.handle import Step, StepKind
from weft.programs.prompt import find_steps
from weft.programs.retry import Retry, as_retry
from weft.programs.strand import CURRENT, Strand, check_name

__all__ = ["Orderable", "StepFunction", "step"]

P = ParamSpec("P")
T = TypeVar("T")


class Orderable:
    """A function with what a Step of it needs. Immutable once made."""

    def __init__(
        self,
        function: Callable[..., object],
        *,
        kind: StepKind,
        name: str | None = None,
        timeout_s: float | None = None,
        retries: int | Retry = 0,
        budget: Budget | None = None,
    ) -> None:
        self.__wrapped__: Callable[..., object] = function
        self.__name__ = check_name(name or getattr(function, "__name__", "step").strip("<>"))
        self.__doc__ = function.__doc__
        self.kind: StepKind = kind
        self.timeout_s = timeout_s
        self.retry = as_retry(retries)
        self.budget = budget

    @property
    def name(self) -> str:
        return self.__name__

    def order(
        self,
        strand: Strand,
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
        *,
        name: str | None = None,
    ) -> Step[Any]:
        """Submit a Step of this function in the scope of ``strand``."""
        return strand.runner.submit(self.call(args, kwargs, name=name), strand)

    def call(
        self, args: tuple[object, ...], kwargs: Mapping[str, object], *, name: str | None = None
    ) -> FunctionCall:
        """The order for one Step of this function."""
        return FunctionCall(
            name=name or self.__name__,
            kind=self.kind,
            function=self.__wrapped__,
            args=args,
            kwargs=kwargs,
            inputs=tuple(find_steps((*args, *kwargs.values()))),
            is_structural=self.kind == "program",
            check=self.check,
            budget=self.budget,
            timeout_s=self.timeout_s,
            retry=self.retry,
        )

    def check(self, value: object) -> object:
        """The function's result as the Step gives it; raises when it is wrong."""
        return value

    def __repr__(self) -> str:
        return f"<{self.kind} {self.__name__}>"


class StepFunction(Orderable, Generic[P, T]):
    """A recorded piece of Python. Inside a Run a call gives a Step; outside it is the function."""

    @property
    def function(self) -> Callable[P, object]:
        """The function itself."""
        return self.__wrapped__

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Step[T]:
        strand = CURRENT.get()
        if strand is None:
            return cast("Step[T]", self.__wrapped__(*args, **kwargs))
        return self.order(strand, args, kwargs)


class _StepDecorator(Protocol):
    @overload
    def __call__(self, function: Callable[P, Awaitable[T]], /) -> StepFunction[P, T]: ...
    @overload
    def __call__(self, function: Callable[P, T], /) -> StepFunction[P, T]: ...


@overload
def step(function: Callable[P, Awaitable[T]], /) -> StepFunction[P, T]: ...
@overload
def step(function: Callable[P, T], /) -> StepFunction[P, T]: ...
@overload
def step(
    *, name: str | None = None, timeout_s: float | None = None, retries: int | Retry = 0
) -> _StepDecorator: ...
def step(
    function: Callable[..., object] | None = None,
    /,
    *,
    name: str | None = None,
    timeout_s: float | None = None,
    retries: int | Retry = 0,
) -> object:
    """Make a function a recorded Step: ``@step`` or ``@step(retries=2, timeout_s=5)``.

    An async function runs concurrently; a plain one runs on the loop and must be quick. Other
    Steps may be submitted within, and end with it.
    """

    def decorate(function: Callable[..., object]) -> StepFunction[..., Any]:
        return StepFunction(function, kind="step", name=name, timeout_s=timeout_s, retries=retries)

    return decorate if function is None else decorate(function)

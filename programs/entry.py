"""Programs: the functions that a Run executes."""

from __future__ import annotations

import copy
import hashlib
import inspect
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, overload

import networkx as nx

from weft.errors import ProgramError
from weft.programs.budget import Budget
from weft.programs.function import Orderable
from weft.programs.handle import Step
from weft.programs.planner import plan_call
from weft.programs.signature import Arguments, Signature
from weft.programs.strand import current_strand

__all__ = ["Program", "program"]

P = ParamSpec("P")
T = TypeVar("T")


class Program(Orderable, Generic[P, T]):
    """An async function whose Steps a Run executes, records and shows.

    Called within a Run it is a child program, which gives a Step and may narrow the budget.
    Start one with ``Run.start(program, *args, engine=…)``.
    """

    def __init__(
        self,
        function: Callable[..., Awaitable[T]],
        *,
        names: Mapping[str, object],
        name: str | None = None,
        budget: Budget | None = None,
        timeout_s: float | None = None,
        requires: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(function, kind="program", name=name, budget=budget, timeout_s=timeout_s)
        self._signature = Signature(function, names)
        self.requires = requires
        """What the engine must be able to do, known before the program starts."""

    @property
    def path(self) -> str:
        """``module:name``."""
        return f"{self.__wrapped__.__module__}:{self.__name__}"

    @property
    def fingerprint(self) -> str:
        """Hash of the source, so that changed code is noticed; of the name where there is none."""
        try:
            source = inspect.getsource(self.__wrapped__)
        except (OSError, TypeError):
            source = self.path
        return hashlib.blake2b(source.encode(), digest_size=16).hexdigest()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Step[T]:
        return self.order(current_strand(f"{self.__name__}()"), args, kwargs)

    def check(self, value: object) -> object:
        self._signature.check_result(value)
        return value

    def bind(self, *args: P.args, **kwargs: P.kwargs) -> Arguments:
        """The arguments as given; raises TypeError when they do not fit the parameters."""
        inspect.signature(self.__wrapped__).bind(*args, **kwargs)
        return Arguments(args, kwargs)

    def bind_json(self, data: Mapping[str, object]) -> Arguments:
        """Arguments from JSON-shaped data by parameter name. Raises InvalidRequest."""
        return self._signature.bind_json(data)

    def limit(self, budget: Budget) -> Program[P, T]:
        """The same program under a budget of its own."""
        limited = copy.copy(self)
        limited.budget = budget
        return limited

    def plan(self, *args: P.args, **kwargs: P.kwargs) -> nx.DiGraph[str]:
        """The Steps that are known before any of them has a result, as a DAG.

        Runs the program's code (no Steps of it) up to the first await that needs data.
        """
        return plan_call(self.call(args, kwargs))


class _ProgramDecorator(Protocol):
    def __call__(self, function: Callable[P, Awaitable[T]], /) -> Program[P, T]: ...


@overload
def program(function: Callable[P, Awaitable[T]], /) -> Program[P, T]: ...
@overload
def program(
    *,
    name: str | None = None,
    budget: Budget | None = None,
    timeout_s: float | None = None,
    requires: frozenset[str] = frozenset(),
) -> _ProgramDecorator: ...
def program(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    budget: Budget | None = None,
    timeout_s: float | None = None,
    requires: frozenset[str] = frozenset(),
) -> object:
    """Make an async function a program: ``@program`` or ``@program(budget=Budget(steps=9))``.

    ``requires`` names what the engine must offer before the program starts: grammar kinds and
    any of ``score``, ``logprobs``, ``seeds``, ``deterministic``. What it returns must be what
    its annotation says (WrongReturnType).
    """
    names = sys._getframe(1).f_locals  # pyright: ignore[reportPrivateUsage]

    def decorate(function: Callable[..., Any]) -> Program[..., Any]:
        if not inspect.iscoroutinefunction(function):
            raise ProgramError(
                f"@program was put on {function!r}.", remedy="A program is an 'async def' function."
            )
        return Program(
            function, names=names, name=name, budget=budget, timeout_s=timeout_s, requires=requires
        )

    return decorate if function is None else decorate(function)

"""Functions that judge."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, cast, overload

from weft.programs.function import Orderable
from weft.programs.handle import Step
from weft.programs.retry import Retry
from weft.programs.strand import CURRENT
from weft.programs.verdict import Verdict, as_verdict

__all__ = ["Judge", "Verifier", "as_verifier", "verifier"]

P = ParamSpec("P")
T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

_Score = float | bool | Verdict


class Judge(Protocol[T_contra]):
    """What may judge a candidate: a verifier, or a plain function that gives a score."""

    def __call__(self, candidate: T_contra, /) -> _Score | Awaitable[_Score]: ...


class Verifier(Orderable, Generic[P]):
    """A function that gives a Verdict. Inside a Run a call gives a Step and counts as one value
    call of the Budget; outside it is the function."""

    @property
    def function(self) -> Callable[P, object]:
        """The function itself."""
        return self.__wrapped__

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Step[Verdict]:
        strand = CURRENT.get()
        if strand is None:
            return cast("Step[Verdict]", self.__wrapped__(*args, **kwargs))
        return self.order(strand, args, kwargs)

    def check(self, value: object) -> Verdict:
        return as_verdict(value)


class _VerifierDecorator(Protocol):
    def __call__(self, function: Callable[P, _Score | Awaitable[_Score]], /) -> Verifier[P]: ...


@overload
def verifier(function: Callable[P, _Score | Awaitable[_Score]], /) -> Verifier[P]: ...
@overload
def verifier(
    *, name: str | None = None, timeout_s: float | None = None, retries: int | Retry = 0
) -> _VerifierDecorator: ...
def verifier(
    function: Callable[..., object] | None = None,
    /,
    *,
    name: str | None = None,
    timeout_s: float | None = None,
    retries: int | Retry = 0,
) -> object:
    """Make a function a verifier: it returns a number, a bool or a Verdict."""

    def decorate(function: Callable[..., object]) -> Verifier[...]:
        return Verifier(function, kind="verifier", name=name, timeout_s=timeout_s, retries=retries)

    return decorate if function is None else decorate(function)


def as_verifier(judge: Judge[Any]) -> Verifier[...]:
    """The judge as a Verifier: plain functions are wrapped under their own name."""
    return judge if isinstance(judge, Verifier) else verifier(judge)

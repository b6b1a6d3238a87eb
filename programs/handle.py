"""The handle of one unit of work that was submitted and may not be done yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any, Generic, Literal, NoReturn, Protocol, Self, TypeVar

from typing_extensions import TypeIs

from weft.errors import ProgramError, StepFormatted
from weft.programs.request import Completion, Request

__all__ = ["Step", "StepKind", "StepOwner", "fail", "is_step", "note", "settle", "use", "when_done"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

StepKind = Literal["program", "gen", "tool", "verifier", "step"]


class StepOwner(Protocol):
    """The scope that a Step belongs to, as far as the handle needs it."""

    def claimed(self, step: Step[Any]) -> None:
        """Somebody wants the Step's result: called once, at the first await or use."""
        ...

    def was_read(self, step: Step[Any]) -> None:
        """Code has awaited the Step and goes on with its result."""
        ...

    def cancel(self, step: Step[Any]) -> None:
        """Stop the Step's work, down to the engine. Does nothing when it is done."""
        ...

    def stop(self, step: Step[Any]) -> None:
        """End the sequences of a ``gen`` that still run; what has arrived becomes its result."""
        ...


_Watcher = Callable[[], None] | asyncio.Future[None]


class Step(Generic[T_co]):
    """One execution of a ``gen``, a function, a tool, a verifier or a program.

    It was submitted when the handle was made. ``await`` gives its result or raises its error, as
    often as wanted. Passed un-awaited as an argument or prompt part it is a data edge: the
    consumer starts once the result is there. A Step that is neither awaited nor consumed when
    its scope ends raises StepUnused; one put into text raises StepFormatted.

    When the only task that awaits a Step is cancelled, so is the Step; ``asyncio.shield`` keeps it.
    """

    __slots__ = (
        "_completions",
        "_error",
        "_is_claimed",
        "_is_done",
        "_owner",
        "_request",
        "_value",
        "_watchers",
        "after",
        "kind",
        "lineage",
        "name",
    )

    lineage: str
    """Identity within the Run: the path of tasks that led here, a name and an ordinal."""
    name: str
    kind: StepKind
    after: tuple[str, ...]
    """Lineages that the submitting code had read before: control edges of the DAG."""

    def __init__(
        self,
        *,
        lineage: str,
        name: str,
        kind: StepKind,
        owner: StepOwner,
        after: tuple[str, ...] = (),
    ) -> None:
        self.lineage = lineage
        self.name = name
        self.kind = kind
        self.after = after
        self._owner = owner
        self._watchers: list[_Watcher] | None = None
        self._is_done = False
        self._is_claimed = False
        self._value: T_co | None = None
        self._error: BaseException | None = None
        self._completions: tuple[Completion, ...] = ()
        self._request: Request | None = None

    @property
    def is_done(self) -> bool:
        """It has a result, an error, or was cancelled."""
        return self._is_done

    @property
    def is_claimed(self) -> bool:
        """It was awaited or consumed."""
        return self._is_claimed

    @property
    def error(self) -> BaseException | None:
        """Why it failed (``CancelledError`` when cancelled); ``None`` while it runs or is fine."""
        return self._error

    @property
    def completions(self) -> tuple[Completion, ...]:
        """What the engine wrote, token by token, when this is a finished ``gen``; else empty."""
        return self._completions

    @property
    def request(self) -> Request | None:
        """What the engine was asked for them, in tokens; None where there are none."""
        return self._request

    @property
    def edge(self) -> T_co:
        """This very Step, typed as its result, to pass as an argument in strictly typed code.

        ``summarize(draft.edge)`` makes a data edge; the function receives the result.
        """
        return self  # type: ignore[return-value]  # pyright: ignore[reportReturnType]

    def result(self) -> T_co:
        """The result of a Step that is done; raises its error, or ProgramError before that."""
        if not self._is_done:
            raise ProgramError(f"Step {self.lineage!r} has no result yet.", remedy="Await it.")
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]  # pyright: ignore[reportReturnType]

    def cancel(self) -> None:
        """Stop the work, down to the engine. A Step that is done stays as it is."""
        use(self)
        if not self._is_done:
            self._owner.cancel(self)

    def __await__(self) -> Generator[Any, None, T_co]:
        if not self._is_claimed:
            use(self)
        if not self._is_done:
            yield from self._wait()
        self._owner.was_read(self)
        return self.result()

    def _wait(self) -> Generator[Any, None, None]:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._watchers is None:
            self._watchers = [waiter]
        else:
            self._watchers.append(waiter)
        try:
            yield from waiter
        except asyncio.CancelledError:
            self._leave(waiter)
            raise

    def _leave(self, waiter: asyncio.Future[None]) -> None:
        """A waiter was cancelled: the last one to leave takes the Step with it."""
        if self._watchers and waiter in self._watchers:
            self._watchers.remove(waiter)
            if not self._watchers and not self._is_done:
                self._owner.cancel(self)

    def __repr__(self) -> str:
        if not self._is_done:
            state = "running"
        elif self._error is None:
            state = "done"
        else:
            state = type(self._error).__name__
        return f"<{type(self).__name__} {self.lineage} {state}>"

    def __str__(self) -> str:
        self._refuse_text()

    def __format__(self, spec: str) -> str:
        self._refuse_text()

    def _refuse_text(self) -> NoReturn:
        raise StepFormatted(
            f"Step {self.lineage!r} was put into text before it has a result.",
            remedy="Await it first, or pass it as a part: gen(['Merge:', step]).",
        )

    def __bool__(self) -> NoReturn:
        raise ProgramError(
            f"Step {self.lineage!r} was used as a condition before it has a result.",
            remedy="Await it first: 'if await step:'.",
        )

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self


# What follows is for those who run Steps (StepRunner implementations), not for programs.


def is_step(value: object) -> TypeIs[Step[Any]]:
    """The value is a Step."""
    return isinstance(value, Step)


def use(step: Step[Any]) -> None:
    """Mark a Step as wanted: it will not count as unused."""
    if not step._is_claimed:  # pyright: ignore[reportPrivateUsage]
        step._is_claimed = True  # pyright: ignore[reportPrivateUsage]
        step._owner.claimed(step)  # pyright: ignore[reportPrivateUsage]


def settle(step: Step[T], value: T) -> None:
    """Give a Step its result and wake who waits for it."""
    step._value = value  # pyright: ignore[reportPrivateUsage]
    _finish(step)


def fail(step: Step[Any], error: BaseException) -> None:
    """Give a Step its error (``CancelledError`` for a cancelled one) and wake who waits."""
    step._error = error  # pyright: ignore[reportPrivateUsage]
    _finish(step)


def note(
    step: Step[Any], completions: tuple[Completion, ...], request: Request | None = None
) -> None:
    """Keep what the engine wrote for a Step, and what it was asked."""
    step._completions = completions  # pyright: ignore[reportPrivateUsage]
    step._request = request  # pyright: ignore[reportPrivateUsage]


def when_done(step: Step[Any], callback: Callable[[], None]) -> None:
    """Call back, at once and in place, when the Step is done. It must not be done yet."""
    watchers = step._watchers  # pyright: ignore[reportPrivateUsage]
    if watchers is None:
        step._watchers = [callback]  # pyright: ignore[reportPrivateUsage]
    else:
        watchers.append(callback)


def _finish(step: Step[Any]) -> None:
    assert not step.is_done, f"{step!r} is done already"
    step._is_done = True  # pyright: ignore[reportPrivateUsage]
    watchers = step._watchers  # pyright: ignore[reportPrivateUsage]
    step._watchers = None  # pyright: ignore[reportPrivateUsage]
    if watchers is not None:
        for watcher in watchers:
            if callable(watcher):
                watcher()
            elif not watcher.done():
                watcher.set_result(None)

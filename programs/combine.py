"""Several Steps into one: the first, all of them, or what most agree on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from typing import Any, TypeVar

from weft.errors import InvalidRequest
from weft.programs.calls import FunctionCall
from weft.programs.candidates import Candidates
from weft.programs.handle import Step, is_step, use, when_done
from weft.programs.prompt import find_steps
from weft.programs.strand import Strand, current_strand
from weft.programs.tally import Tally

__all__ = ["pmap", "race", "vote"]

A = TypeVar("A")
T = TypeVar("T")


def race(*branches: Awaitable[T]) -> Step[T]:
    """The first branch that succeeds; the others are cancelled, down to the engine.

    Branches are Steps or coroutines; a coroutine becomes a Step that owns what it submits.
    When all fail, the first branch's error is raised, with notes of the others'.
    """
    strand = current_strand("race()")
    if not branches:
        raise InvalidRequest("race() has no branches.", remedy="Give at least one.")
    steps = [_as_step(branch, strand) for branch in branches]
    return _combine("race", _first_success, (steps,), tuple(steps), strand)


def vote(
    candidates: Candidates[T] | Iterable[Step[T]], *, key: Callable[[T], Hashable] | None = None
) -> Step[T]:
    """The value that most Steps agree on; the rest is cancelled once nobody can catch up.

    ``key`` says what counts as equal. Failed Steps do not vote; when all fail, the first one's
    error is raised. For the sequences of one ``gen(n=…)``, Candidates' ``vote`` does the same.
    """
    strand = current_strand("vote()")
    if isinstance(candidates, Candidates):
        return candidates.vote(key=key)
    steps = list(candidates)
    if not steps:
        raise InvalidRequest("vote() has no candidates.", remedy="Give at least one.")
    return _combine("vote", _majority, (steps, key), tuple(steps), strand)


def pmap(
    function: Callable[[A], Awaitable[T]],
    items: Iterable[A] | Step[Sequence[A]],
    *,
    limit: int | None = None,
) -> Step[list[T]]:
    """The function of every item, at once or at most ``limit`` at a time, in order.

    A call that fails cancels the others. Items may be a Step, or hold Steps.
    """
    strand = current_strand("pmap()")
    if limit is not None and limit < 1:
        raise InvalidRequest(f"pmap(limit=…) is {limit!r}.", remedy="It must be at least 1.")
    given = items if isinstance(items, Step) else list(items)
    inputs = tuple(find_steps(given))
    call = FunctionCall(
        name="pmap",
        kind="step",
        function=_map,
        args=(function, given, limit),
        inputs=inputs,
        is_structural=True,
    )
    return strand.runner.submit(call, strand)


def _combine(
    name: str,
    function: Callable[..., object],
    args: tuple[object, ...],
    inputs: tuple[Step[Any], ...],
    strand: Strand,
) -> Step[Any]:
    for step in inputs:
        use(step)
    call = FunctionCall(
        name=name, kind="step", function=function, args=args, inputs=inputs, takes_handles=True
    )
    return strand.runner.submit(call, strand)


def _as_step(branch: Awaitable[T], strand: Strand) -> Step[T]:
    if is_step(branch):
        return branch

    async def run() -> T:
        return await branch

    call = FunctionCall(
        name=getattr(branch, "__name__", "branch").strip("<>"),
        kind="step",
        function=run,
        is_structural=True,
        abandon=getattr(branch, "close", None),
    )
    return strand.runner.submit(call, strand)


class _Queue:
    """Steps in the order in which they end."""

    def __init__(self, steps: Sequence[Step[Any]]) -> None:
        self._done: asyncio.Queue[int] = asyncio.Queue()
        for index, step in enumerate(steps):
            self.add(index, step)

    def add(self, index: int, step: Step[Any]) -> None:
        if step.is_done:
            self._done.put_nowait(index)
        else:
            when_done(step, lambda: self._done.put_nowait(index))

    async def get(self) -> int:
        return await self._done.get()


def _cancel_all(steps: Iterable[Step[Any]]) -> None:
    for step in steps:
        step.cancel()


async def _first_success(steps: list[Step[T]]) -> T:
    queue = _Queue(steps)
    try:
        for _ in steps:
            step = steps[await queue.get()]
            if step.error is None:
                return step.result()
        return _raise_all(steps)
    finally:
        _cancel_all(steps)


def _raise_all(steps: Sequence[Step[T]]) -> T:
    """Raise the first Step's error, telling of the others."""
    for step in steps[1:]:
        if steps[0].error is not None and step.error is not None:
            steps[0].error.add_note(f"{step.lineage} failed too: {step.error!r}")
    return steps[0].result()


async def _majority(steps: list[Step[T]], key: Callable[[T], Hashable] | None) -> T:
    tally = Tally(len(steps), key)
    queue = _Queue(steps)
    try:
        while not (tally.has_votes and tally.is_certain):
            if not tally.has_votes and all(step.is_done and step.error for step in steps):
                return _raise_all(steps)
            index = await queue.get()
            if steps[index].error is None:
                tally.add(index, steps[index].result())
            else:
                tally.skip()
        return tally.winner()
    finally:
        _cancel_all(steps)


async def _map(
    function: Callable[[A], Awaitable[T]], items: Iterable[A], limit: int | None
) -> list[T]:
    strand = current_strand("pmap()")
    steps: list[Step[T]] = []
    queue = _Queue(())
    for index, item in enumerate(items):
        if limit is not None and index >= limit:
            steps[await queue.get()].result()
        step = _as_step(function(item), strand)
        use(step)
        queue.add(index, step)
        steps.append(step)
    for _ in range(len(steps) if limit is None else min(limit, len(steps))):
        steps[await queue.get()].result()
    return [step.result() for step in steps]

"""Several sequences of one generation, to choose from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from typing_extensions import TypeIs

from weft.errors import ModelError
from weft.programs.calls import FunctionCall
from weft.programs.handle import Step, StepOwner, use, when_done
from weft.programs.strand import current_strand
from weft.programs.tally import Tally
from weft.programs.verdict import Verdict
from weft.programs.verify import Judge, Verifier, as_verifier

__all__ = ["Arrival", "Candidates", "arrive", "is_candidates"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival(Generic[T]):
    """One sequence that has ended: a value, or why there is none."""

    index: int
    value: T | None = None
    error: ModelError | None = None


class Candidates(Step[list[T]], Generic[T]):
    """The sequences of ``gen(..., n=…)``, which share the prompt's KV.

    ``await`` gives all values by index. ``async for`` gives values as they end. ``best`` and
    ``vote`` choose one and end the losers in the engine as soon as the choice is certain.
    Sequences whose output is not valid are left out, and are in ``failures``; when none is
    valid, the first one's error is raised.
    """

    __slots__ = ("_arrivals", "_listeners", "num_wanted")

    num_wanted: int
    """The ``n`` asked for."""

    def __init__(
        self,
        *,
        lineage: str,
        name: str,
        owner: StepOwner,
        num_wanted: int,
        after: tuple[str, ...] = (),
    ) -> None:
        super().__init__(lineage=lineage, name=name, kind="gen", owner=owner, after=after)
        self.num_wanted = num_wanted
        self._arrivals: list[Arrival[T]] = []
        self._listeners: list[Callable[[], None]] = []

    @property
    def arrivals(self) -> tuple[Arrival[T], ...]:
        """What has ended so far, in order of arrival."""
        return tuple(self._arrivals)

    @property
    def failures(self) -> dict[int, ModelError]:
        """Why sequences are left out, by index."""
        return {one.index: one.error for one in self._arrivals if one.error is not None}

    def stop(self) -> None:
        """End the sequences that still run, in the engine; what has arrived is the result."""
        use(self)
        if not self.is_done:
            self._owner.stop(self)

    def listen(self, callback: Callable[[], None]) -> None:
        """Call back at every arrival and when the Step is done; at once if it is."""
        self._listeners.append(callback)
        if self.is_done:
            callback()
        else:
            when_done(self, callback)

    async def __aiter__(self) -> AsyncGenerator[T, None]:
        """Values as they end. Leaving early ends no sequence: call ``stop``."""
        use(self)
        news = asyncio.Event()
        self.listen(news.set)
        num_seen = 0
        while num_seen < len(self._arrivals) or not self.is_done:
            if num_seen == len(self._arrivals):
                news.clear()
                await news.wait()
                continue
            one = self._arrivals[num_seen]
            num_seen += 1
            if one.error is None:
                yield cast("T", one.value)
        self._owner.was_read(self)
        if self.error is not None:
            raise self.error

    def best(self, *, by: Judge[T], stop_at: float | None = None) -> Step[T]:
        """The value that ``by`` scores highest; the lowest index among equals.

        Values are judged as they end. The first score of at least ``stop_at`` decides: the rest
        is ended in the engine and not judged.
        """
        return self._choose("best", _pick_best, (self, as_verifier(by), stop_at))

    def vote(self, *, key: Callable[[T], Hashable] | None = None) -> Step[T]:
        """The value that most sequences agree on; ends the rest once nobody can catch up.

        ``key`` says what counts as equal; the result is the lowest index of the winners seen.
        """
        return self._choose("vote", _pick_majority, (self, key))

    def _choose(
        self, name: str, function: Callable[..., object], args: tuple[object, ...]
    ) -> Step[T]:
        strand = current_strand(f"{name}()")
        use(self)
        call = FunctionCall(
            name=name,
            kind="step",
            function=function,
            args=args,
            inputs=(self,),
            takes_handles=True,
        )
        return strand.runner.submit(call, strand)


def is_candidates(step: Step[Any]) -> TypeIs[Candidates[Any]]:
    """The Step is one of several sequences."""
    return isinstance(step, Candidates)


def arrive(candidates: Candidates[T], arrival: Arrival[T]) -> None:
    """A sequence has ended. For those who run Steps."""
    candidates._arrivals.append(arrival)  # pyright: ignore[reportPrivateUsage]
    for callback in candidates._listeners:  # pyright: ignore[reportPrivateUsage]
        callback()


async def _pick_majority(candidates: Candidates[T], key: Callable[[T], Hashable] | None) -> T:
    tally = Tally(candidates.num_wanted, key)
    news = asyncio.Event()
    candidates.listen(news.set)
    num_seen = 0
    while True:
        for one in candidates.arrivals[num_seen:]:
            num_seen += 1
            _count(tally, one)
        if tally.has_votes and tally.is_certain:
            candidates.stop()
            return tally.winner()
        if candidates.is_done:
            candidates.result()
            return tally.winner()
        news.clear()
        await news.wait()


def _count(tally: Tally[T], one: Arrival[T]) -> None:
    if one.error is None:
        tally.add(one.index, cast("T", one.value))
    else:
        tally.skip()


async def _pick_best(candidates: Candidates[T], judge: Verifier[...], stop_at: float | None) -> T:
    bench = _Bench(candidates, judge)
    while True:
        for index, verdict in bench.new_verdicts():
            if stop_at is not None and verdict.score >= stop_at:
                candidates.stop()
                return bench.value(index)
        if bench.is_over:
            candidates.result()
            return bench.winner()
        await bench.wait()


class _Bench(Generic[T]):
    """Judges candidates as they arrive, several at once."""

    def __init__(self, candidates: Candidates[T], judge: Verifier[...]) -> None:
        self._candidates = candidates
        self._judge = judge
        self._open: dict[int, Step[Verdict]] = {}
        self._scores: dict[int, float] = {}
        self._values: dict[int, T] = {}
        self._num_seen = 0
        self._news = asyncio.Event()
        candidates.listen(self._news.set)

    def new_verdicts(self) -> Iterator[tuple[int, Verdict]]:
        """Verdicts since the last call, by index. Submits what has arrived meanwhile."""
        self._news.clear()
        self._submit_arrivals()
        for index in sorted(index for index, step in self._open.items() if step.is_done):
            verdict = self._open.pop(index).result()
            self._scores[index] = verdict.score
            yield index, verdict

    def _submit_arrivals(self) -> None:
        strand = current_strand("best()")
        for one in self._candidates.arrivals[self._num_seen :]:
            self._num_seen += 1
            if one.error is None:
                # Named by index, not by order of arrival: that would depend on timing.
                name = f"{self._judge.name}[{one.index}]"
                step: Step[Any] = self._judge.order(strand, (one.value,), {}, name=name)
                use(step)
                when_done(step, self._news.set)
                self._open[one.index] = step
                self._values[one.index] = cast("T", one.value)

    @property
    def is_over(self) -> bool:
        """All have arrived and are judged."""
        is_seen = self._num_seen == len(self._candidates.arrivals)
        return self._candidates.is_done and is_seen and not self._open

    def value(self, index: int) -> T:
        return self._values[index]

    def winner(self) -> T:
        index = min(self._scores, key=lambda index: (-self._scores[index], index))
        return self._values[index]

    async def wait(self) -> None:
        """Until something arrives, a verdict is there, or all is done."""
        await self._news.wait()

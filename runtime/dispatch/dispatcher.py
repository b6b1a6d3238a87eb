"""The scheduler on an event loop: facts go in as they happen, decisions are carried out."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from weft.errors import EngineClosed, InvalidRequest
from weft.runtime.dispatch.snapshot import DecisionCounts
from weft.runtime.executor.clock import Clock, Timer
from weft.runtime.scheduler import (
    CallAsked,
    Decision,
    Demote,
    Dispatch,
    Evict,
    OutsideFact,
    Pause,
    Prefetch,
    Refuse,
    Scheduler,
)

__all__ = ["Dispatcher", "KvActions"]

SHORTEST_WAIT_S = 1e-3
"""Between two looks at a scheduler that wants to be asked at once again."""


class KvActions(Protocol):
    """What decisions about KV come to."""

    def give_up(self, program: str) -> None:
        """Nothing of an idle program need be kept."""
        ...

    def demote(self, program: str, replica: str) -> None:
        """Move what an idle program holds out of the KV pool."""
        ...

    def restore(self, program: str, replica: str) -> None:
        """Read back what a program is likely to go on from, before it asks."""
        ...


class Dispatcher:
    """Tells the scheduler facts, asks it once per turn of the loop, and does what it decides.

    For one loop at a time. Nothing here waits for an engine.
    """

    def __init__(self, scheduler: Scheduler, actions: KvActions, clock: Clock) -> None:
        self.scheduler = scheduler
        self._actions = actions
        self._clock = clock
        self._waiting: dict[str, asyncio.Future[str]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._soon: asyncio.Handle | None = None
        self._timer: Timer | None = None
        self._is_closed = False
        self._num_done = Counter[type[Decision]]()

    @property
    def counts(self) -> DecisionCounts:
        """What was carried out so far."""
        done = self._num_done
        return DecisionCounts(
            num_dispatches=done[Dispatch],
            num_evictions=done[Evict],
            num_demotions=done[Demote],
            num_pauses=done[Pause],
            num_prefetches=done[Prefetch],
            num_refusals=done[Refuse],
        )

    def now(self) -> float:
        return self._clock.now()

    def tell(self, fact: OutsideFact) -> None:
        """Take a fact; what follows from it is decided before the loop's next turn ends."""
        self.scheduler.tell(fact)
        if self._loop is not None and self._soon is None and not self._is_closed:
            self._soon = self._loop.call_soon(self._decide)

    def ask(self, fact: CallAsked) -> asyncio.Future[str]:
        """The replica that is to run the call, once that is decided.

        The future raises InvalidRequest where no replica could ever hold the call. Whoever stops
        waiting must tell that it is cancelled.
        """
        if self._is_closed:
            raise EngineClosed("The engine was closed.", remedy="Open a new one.")
        assert self._loop is not None
        self.tell(fact)
        waiter = self._waiting[fact.call] = self._loop.create_future()
        waiter.add_done_callback(lambda _: self._waiting.pop(fact.call, None))
        return waiter

    def close(self) -> None:
        """Fail whoever waits. Idempotent."""
        self._is_closed = True
        for handle in (self._soon, self._timer):
            if handle is not None:
                handle.cancel()
        for waiter in list(self._waiting.values()):
            if not waiter.done():
                closed = EngineClosed("The engine was closed.", remedy="Open a new one.")
                waiter.set_exception(closed)

    def bind(self) -> None:
        """Before anything is told on a loop. Raises InvalidRequest for a second one that runs
        beside the first."""
        running = asyncio.get_running_loop()
        if self._loop is None or self._loop.is_closed():
            self._loop = running
            self._soon = self._timer = None
        elif self._loop is not running:
            raise InvalidRequest(
                "A scheduled engine is used by a second event loop.",
                remedy="Run all its programs on one loop, or open one engine for each.",
            )

    def _decide(self) -> None:
        self._soon = None
        for decision in self.scheduler.decide(self._clock.now()):
            self._carry_out(decision)
        self._set_timer()

    def _carry_out(self, decision: Decision) -> None:
        self._num_done[type(decision)] += 1
        match decision:
            case Dispatch():
                self._answer(decision.call, lambda waiter: waiter.set_result(decision.replica))
            case Refuse():
                refused = InvalidRequest(
                    f"The request {decision.call!r} needs more KV memory than there is.",
                    remedy="Ask for fewer tokens, or give the engine more kv_bytes.",
                )
                self._answer(decision.call, lambda waiter: waiter.set_exception(refused))
            case Evict() | Pause():
                self._actions.give_up(decision.program)
            case Demote():
                self._actions.demote(decision.program, decision.replica)
            case Prefetch():
                self._actions.restore(decision.program, decision.replica)

    def _answer(self, call: str, answer: Callable[[asyncio.Future[str]], None]) -> None:
        """Who has stopped waiting tells so by itself."""
        waiter = self._waiting.get(call)
        if waiter is not None and not waiter.done():
            answer(waiter)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        delay_s = self.scheduler.wake_s - self._clock.now()
        if delay_s < float("inf"):
            self._timer = self._clock.call_later(max(delay_s, SHORTEST_WAIT_S), self._decide)

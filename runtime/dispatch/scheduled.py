"""Engines under a scheduler: one engine to programs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import fields
from itertools import count

from weft.errors import InvalidRequest, WeftError
from weft.programs.message import Message
from weft.programs.past import Past
from weft.programs.request import Delta, Request
from weft.programs.sampling import Sampling
from weft.runtime.dispatch.book import Book
from weft.runtime.dispatch.dispatcher import Dispatcher
from weft.runtime.dispatch.snapshot import Snapshot
from weft.runtime.dispatch.survey import Surveyor
from weft.runtime.dispatch.teams import Teams
from weft.runtime.engine.programs import ProgramStart
from weft.runtime.engine.protocol import Capabilities, Engine, EngineStats, KvHolder
from weft.runtime.executor.clock import Clock, SystemClock
from weft.runtime.observe.event import Event, RunEvent
from weft.runtime.scheduler import (
    Entry,
    ReplicaSized,
    Scheduler,
    SchedulingPolicy,
    make_policy,
)

__all__ = ["ScheduledEngine"]


class ScheduledEngine:
    """Implements the Engine protocol over engines that serve the same model, its replicas.

    A Request waits until the scheduler dispatches its Run's call to a replica; whose KV stays
    there between calls is decided by Run, too. A Request of no known Run is a program of its own.
    ``score`` is not scheduled. For one event loop at a time; closing it closes the replicas.
    """

    def __init__(
        self,
        replicas: Engine | Mapping[str, Engine],
        *,
        policy: SchedulingPolicy | None = None,
        clock: Clock | None = None,
        record: Callable[[Entry], None] | None = None,
    ) -> None:
        """``policy`` is by default ``weft``, with costs that fit a small model on a processor:
        measure yours with ``measure_costs``. ``record`` is given every fact and decision.

        Raises: InvalidRequest for a replica whose KV memory is not known.
        """
        self._replicas = dict(replicas) if isinstance(replicas, Mapping) else {"0": replicas}
        clock = clock or SystemClock()
        scheduler = Scheduler(policy or make_policy(), record=record)
        for name, replica in self._replicas.items():
            scheduler.tell(_sized(name, replica, clock.now()))
        self._dispatcher = Dispatcher(scheduler, self, clock)
        self._book = Book(self._dispatcher)
        self._teams = Teams(self._book)
        self._restores: dict[str, asyncio.Task[None]] = {}
        self._restore_ids = count(1)
        self._surveyor = Surveyor(self._book, self._dispatcher, self.name, self.stats())

    @property
    def scheduler(self) -> Scheduler:
        """To be read only: its ledger has the accounts of all that is open."""
        return self._dispatcher.scheduler

    @property
    def book(self) -> Book:
        """To be read only: the Runs that are open."""
        return self._book

    @property
    def name(self) -> str:
        return self._any.name

    @property
    def capabilities(self) -> Capabilities:
        return self._any.capabilities

    def encode(self, text: str, *, has_controls: bool = False) -> tuple[int, ...]:
        return self._any.encode(text, has_controls=has_controls)

    def decode(self, token_ids: Sequence[int]) -> str:
        return self._any.decode(token_ids)

    def render(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, object]] = ()
    ) -> tuple[int, ...]:
        return self._any.render(messages, tools)

    def watch(self, start: ProgramStart) -> Callable[[Event], None]:
        self._dispatcher.bind()
        self._book.open(start)

        def heard(event: Event) -> None:
            self._book.heard(event)
            if isinstance(event, RunEvent) and event.phase != "started":
                self._forget(event.run_id)

        return heard

    async def submit(self, request: Request) -> AsyncGenerator[Delta, None]:
        self._dispatcher.bind()
        if request.lane is not None:
            replica = await self._teams.replica_of(request)
            stream = self._replicas[replica].submit(request)
            try:
                async for delta in stream:
                    yield delta
            finally:
                await stream.aclose()
            return
        call = self._book.ask(request)
        num_open = request.n
        try:
            replica = await call.replica
            self._book.dispatched(call)
            await self._stop_restoring(request.run_id)
            stream = self._replicas[replica].submit(request)
            try:
                async for delta in stream:
                    num_open -= delta.finish_reason is not None
                    self._book.grew(call, delta)
                    if num_open == 0:
                        self._book.answered(call, request.n)
                    yield delta
            finally:
                await stream.aclose()
        finally:
            if num_open:
                self._book.cancelled(call)

    async def cancel(self, request_id: str, indices: Sequence[int] | None = None) -> None:
        for replica in self._replicas.values():
            await replica.cancel(request_id, indices)
        if indices is None:
            self._teams.disband(request_id)

    async def score(
        self, prompt: Sequence[int], target: Sequence[int], *, past: Past | None = None
    ) -> tuple[float, ...]:
        idlest = min(self._replicas.values(), key=lambda replica: replica.stats().num_running)
        return await idlest.score(prompt, target, past=past)

    def stats(self) -> EngineStats:
        """The sum over the replicas; calls that wait to be dispatched count as waiting."""
        each = [replica.stats() for replica in self._replicas.values()]
        sums = {one.name: sum(getattr(stats, one.name) for stats in each) for one in FIELDS}
        sums["num_waiting"] += self.scheduler.num_waiting
        return EngineStats(**sums)

    def snapshot(self, *, max_programs: int = 256) -> Snapshot:
        """What goes on at this moment, with so many programs listed at most. To be called on
        the event loop that the programs run on, where there are any."""
        return self._surveyor.take(self.stats(), max_programs)

    async def close(self) -> None:
        self._dispatcher.close()
        restores, self._restores = list(self._restores.values()), {}
        for task in restores:
            task.cancel()
        await asyncio.gather(*restores, return_exceptions=True)
        for replica in self._replicas.values():
            await replica.close()

    def give_up(self, program: str) -> None:
        """Nothing that the Run alone has cached need be kept."""
        for replica in self._replicas.values():
            if isinstance(replica, KvHolder):
                replica.give_up_kv(program)

    def demote(self, program: str, replica: str) -> None:
        """Keep what the Run alone has cached outside the KV pool."""
        holder = self._replicas[replica]
        assert isinstance(holder, KvHolder), "only what holds KV is scheduled"
        holder.demote_kv(program)

    def restore(self, program: str, replica: str) -> None:
        """Have in advance what the Run is likely to go on from; what is missing is computed."""
        known = self._book.program(program)
        if known is None or not known.context or program in self._restores:
            return
        task = asyncio.ensure_future(self._compute(program, known.context, replica))
        self._restores[program] = task
        task.add_done_callback(lambda _: self._restores.pop(program, None))

    async def _compute(self, program: str, context: tuple[int, ...], replica: str) -> None:
        """A Request for one token that nobody reads, after all others."""
        request = Request(
            request_id=f"{program}/restore-{next(self._restore_ids)}",
            prompt=context,
            sampling=Sampling(max_tokens=1, temperature=0.0),
            tenant=self._tenant_of(program),
            run_id=program,
            priority=LAST,
            stream_every=0,
        )
        try:
            async for _ in self._replicas[replica].submit(request):
                pass
        except WeftError:
            return  # the call itself computes it then, or fails by itself

    def _forget(self, program: str) -> None:
        """A Run has ended: what it has cached is the first to go."""
        self._teams.forget(program)
        task = self._restores.get(program)
        if task is not None:
            task.cancel()
        self.give_up(program)

    async def _stop_restoring(self, program: str) -> None:
        """The call computes what is still missing, at its own rank."""
        task = self._restores.get(program)
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    def _tenant_of(self, program: str) -> str:
        known = self._book.program(program)
        return "" if known is None else known.start.tenant

    @property
    def _any(self) -> Engine:
        return next(iter(self._replicas.values()))


FIELDS = fields(EngineStats)
LAST = -1_000_000
"""A priority below all that programs have."""


def _sized(name: str, replica: Engine, now_s: float) -> ReplicaSized:
    if not isinstance(replica, KvHolder):
        raise InvalidRequest(
            f"The engine {replica.name!r} does not say how much KV memory it has.",
            remedy="Schedule embedded engines.",
        )
    return ReplicaSized(now_s, name, replica.kv_tokens, replica.max_running, replica.spill_tokens)

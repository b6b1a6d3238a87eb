"""One execution of a program, from outside."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

import networkx as nx
from pydantic_core import to_jsonable_python

from weft.errors import InvalidRequest, UnsupportedFeature
from weft.programs.budget import Budget
from weft.programs.dag import build_dag
from weft.programs.entry import Program
from weft.programs.handle import Step, use
from weft.programs.lineage import LineageTaskFactory
from weft.programs.strand import CURRENT
from weft.runtime.engine.programs import ProgramEngine, ProgramStart
from weft.runtime.engine.protocol import Capabilities, Engine
from weft.runtime.executor.account import Account, Spent
from weft.runtime.executor.clock import Clock, SystemClock
from weft.runtime.executor.picture import nodes_of
from weft.runtime.executor.recorder import data_json, input_json, status_of
from weft.runtime.executor.scope import Scope
from weft.runtime.executor.state import RunState
from weft.runtime.journal.record import RunRecord, RunStatus
from weft.runtime.journal.store import Store
from weft.runtime.observe.bus import Observer
from weft.runtime.observe.event import Event, ResultEvent, RunEvent
from weft.runtime.observe.usage import Usage
from weft.tools import ToolRunner

__all__ = ["Run"]

T = TypeVar("T")
S = TypeVar("S")

NO_LIMIT = Budget()


class _Nobody:
    """Owns the root Step, which no code can claim or cancel by its handle."""

    def claimed(self, step: Step[Any]) -> None:
        """The Run itself wants the result."""

    was_read = cancel = stop = claimed


class Run(Generic[T]):
    """A program that runs, or has run, on the event loop where it was started.

    It goes on without anyone waiting for it; ``cancel`` ends it, down to the engine. As an async
    context manager it is cancelled on the way out when it has not ended.
    """

    __slots__ = (
        "_account",
        "_ended",
        "_factory",
        "_failure",
        "_is_over",
        "_program",
        "_root",
        "_state",
    )

    def __init__(
        self,
        program: Program[..., T],
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
        *,
        state: RunState,
        budget: Budget,
    ) -> None:
        """Use ``Run.start``."""
        self._program = program
        self._state = state
        self._account = Account(
            budget,
            name=program.name,
            parent=None,
            started_s=0.0,
            on_exceeded=lambda error: self._root.stop_steps(error),
        )
        root: Step[T] = Step(lineage=program.name, name=program.name, kind="program", owner=_NOBODY)
        use(root)
        call = program.call(args, kwargs)
        self._root = Scope(step=root, call=call, state=state, account=self._account, home=None)
        self._factory: LineageTaskFactory | None = None
        self._ended: list[asyncio.Future[None]] = []
        self._is_over = False
        self._failure: Exception | None = None

    @classmethod
    async def start(
        cls,
        program: Program[..., S],
        *args: object,
        engine: Engine,
        kwargs: Mapping[str, object] | None = None,
        store: Store | None = None,
        seed: int = 0,
        budget: Budget | None = None,
        run_id: str | None = None,
        observers: Sequence[Observer] = (),
        clock: Clock | None = None,
        tenant: str = "",
        priority: int = 0,
        deadline_s: float | None = None,
        tools: ToolRunner | None = None,
    ) -> Run[S]:
        """Start a program; returns as soon as it is recorded and scheduled.

        ``priority``: larger is served first. ``deadline_s``: seconds from now within which the
        Run should end, for an engine that schedules programs to hurry; it is no limit.
        ``seed`` and the lineage of each Step give its seed. ``observers`` are called for every
        event. ``tools`` runs the calls of tools: given to many Runs, it keeps all of them within
        one capacity and learns from all. Raises UnsupportedFeature when the engine lacks what the
        program requires, TypeError when the arguments do not fit, JournalError when the store
        refuses.
        """
        program.bind(*args, **(kwargs or {}))
        _check_requirements(program, engine)
        _check_deadline(deadline_s)
        state = RunState(
            run_id=run_id or uuid.uuid4().hex,
            engine=engine,
            clock=clock or SystemClock(),
            store=store,
            seed=seed,
            tenant=tenant,
            priority=priority,
            observers=observers,
            tools=tools or ToolRunner(),
        )
        run = Run(program, args, kwargs or {}, state=state, budget=budget or NO_LIMIT)
        if store is not None:
            await store.begin_run(run._record())
        if isinstance(engine, ProgramEngine):
            state.log.show_to(engine.watch(run._announcement(deadline_s)))
        run._launch()
        return run

    @property
    def run_id(self) -> str:
        return self._state.run_id

    @property
    def program(self) -> Program[..., T]:
        return self._program

    @property
    def seed(self) -> int:
        return self._state.seed

    @property
    def engine(self) -> str:
        """The name of the engine that serves it."""
        return self._state.engine.name

    @property
    def status(self) -> RunStatus:
        """``running`` until everything it submitted has ended and is recorded."""
        if not self._is_over:
            return "running"
        return status_of(self._failure or self._root.step.error)

    @property
    def usage(self) -> Usage:
        """The sum over its generations and tool calls so far."""
        return self._state.usage

    @property
    def budget(self) -> Spent:
        """What has been used of the Run's Budget so far."""
        return self._account.spent(self._state.elapsed_s())

    async def result(self) -> T:
        """The program's result, or its error; CancelledError when the Run was cancelled.

        Cancelling the caller leaves the Run alone.
        """
        await self._wait()
        if self._failure is not None:
            raise self._failure
        return cast("T", self._root.step.result())

    async def cancel(self) -> None:
        """Cancel the Run and everything below it; returns when all of it has ended."""
        self._root.abort(asyncio.CancelledError())
        await self._wait()

    def events(self, after: int = 0) -> AsyncGenerator[Event, None]:
        """Events numbered above ``after``, as they come; ends when the Run has ended."""
        return self._state.log.read(after)

    def graph(self) -> nx.DiGraph[str]:
        """The DAG of the Steps so far, as ``weft.programs.dag`` describes it."""
        return build_dag(nodes_of(self._state.log.events))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._is_over:
            await self.cancel()

    def __repr__(self) -> str:
        return f"<Run {self.run_id} of {self._program.name} {self.status}>"

    def _launch(self) -> None:
        self._factory = LineageTaskFactory.enter(self._state.loop, self)
        self._tell("started")
        self._root.launch_with(self._main())

    async def _main(self) -> None:
        """The Run's own task: the program, then the last words."""
        await self._root.perform()
        CURRENT.set(None)
        try:
            await self._record_end()
        except (Exception, asyncio.CancelledError) as error:
            self._failure = error if isinstance(error, Exception) else None
        self._tell_end()
        self._is_over = True
        self._state.log.close()
        assert self._factory is not None
        self._factory.leave(self)
        for waiter in self._ended:
            if not waiter.done():
                waiter.set_result(None)
        self._ended.clear()

    async def _wait(self) -> None:
        if not self._is_over:
            waiter = asyncio.get_running_loop().create_future()
            self._ended.append(waiter)
            await waiter

    async def _record_end(self) -> None:
        state = self._state
        if state.store is None:
            return
        for record in state.late_records:
            await state.store.put_step(record)
        state.late_records.clear()
        error = self._root.step.error
        output = None if error is not None else data_json(self._root.step.result(), "The result")
        await state.store.end_run(
            state.run_id, status_of(error), output, _brief(error), state.clock.epoch()
        )

    def _tell_end(self) -> None:
        state, error = self._state, self._failure or self._root.step.error
        if error is None:
            state.log.append(
                ResultEvent(
                    run_id=state.run_id,
                    seq=state.log.next_seq,
                    time_s=state.elapsed_s(),
                    lineage=self._root.lineage,
                    value=to_jsonable_python(self._root.step.result(), fallback=repr),
                )
            )
        self._tell(status_of(error), _brief(error))

    def _tell(self, phase: Any, error: str = "") -> None:
        state = self._state
        state.log.append(
            RunEvent(
                run_id=state.run_id,
                seq=state.log.next_seq,
                time_s=state.elapsed_s(),
                lineage=self._root.lineage,
                program=self._program.path,
                phase=phase,
                error=error,
            )
        )

    def _announcement(self, deadline_s: float | None) -> ProgramStart:
        return ProgramStart(
            run_id=self.run_id,
            path=self._program.path,
            tenant=self._state.tenant,
            priority=self._state.priority,
            deadline_s=deadline_s,
            budget_tokens=self._account.limit.tokens,
        )

    def _record(self) -> RunRecord:
        state = self._state
        return RunRecord(
            run_id=state.run_id,
            program=self._program.path,
            fingerprint=self._program.fingerprint,
            seed=state.seed,
            input_json=input_json(self._root.input_data()),
            status="running",
            output_json=None,
            error="",
            started_at=state.clock.epoch(),
            ended_at=None,
        )


_NOBODY = _Nobody()


def _brief(error: BaseException | None) -> str:
    return "" if error is None else f"{type(error).__name__}: {error}"


def _check_deadline(deadline_s: float | None) -> None:
    if deadline_s is not None and not 0 < deadline_s < float("inf"):
        raise InvalidRequest(
            f"deadline_s is {deadline_s!r}.", remedy="Give a positive number of seconds, or None."
        )


def _check_requirements(program: Program[..., Any], engine: Engine) -> None:
    missing = sorted(program.requires - _offers(engine.capabilities))
    if missing:
        raise UnsupportedFeature(
            f"Program {program.name!r} requires {', '.join(missing)}, "
            f"which engine {engine.name!r} does not offer.",
            remedy="Choose another engine.",
        )


def _offers(capabilities: Capabilities) -> frozenset[str]:
    flags = {
        "score": capabilities.can_score,
        "logprobs": capabilities.has_logprobs,
        "seeds": capabilities.has_seeds,
        "deterministic": capabilities.is_deterministic,
    }
    return capabilities.grammars | {name for name, is_there in flags.items() if is_there}

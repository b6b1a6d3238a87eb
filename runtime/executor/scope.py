"""Running user code: a Step that may submit others and outlives none of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, cast

from weft.errors import (
    BudgetExceeded,
    StepOutsideRun,
    StepUnused,
    UnsupportedFeature,
    WrongReturnType,
)
from weft.programs.budget import Budget
from weft.programs.calls import Call, FunctionCall, GenCall
from weft.programs.candidates import Candidates
from weft.programs.context import Context
from weft.programs.handle import Step
from weft.programs.lane_turn import LaneTurn
from weft.programs.prompt import excerpt, fill
from weft.programs.strand import CURRENT, Strand
from weft.runtime.executor.account import Account
from weft.runtime.executor.clock import Timer
from weft.runtime.executor.execution import Execution, Home
from weft.runtime.executor.generation import Generation
from weft.runtime.executor.lanes import team_id
from weft.runtime.executor.state import NO_USAGE, RunState
from weft.runtime.observe.usage import Usage
from weft.tools import ToolRunner

__all__ = ["Scope"]

PRUNE_AT = 32
"""Plain tasks kept before those that are done are forgotten."""


class Scope(Execution[FunctionCall]):
    """One execution of a function. Whatever it submits ends before it does.

    It is the StepRunner and StepOwner of what runs inside. Leaving it in any way cancels
    unfinished Steps and plain asyncio tasks and waits for their end. Tasks that a tool's own code
    creates are the tool's (they may serve later calls) and are left alone.
    """

    __slots__ = ("_drained", "_running", "_tasks", "_teams", "_unclaimed", "is_closed")

    def __init__(
        self,
        *,
        step: Step[Any],
        call: FunctionCall,
        state: RunState,
        account: Account,
        home: Home | None,
    ) -> None:
        super().__init__(step=step, call=call, state=state, account=account, home=home)
        self._running: dict[Step[Any], Execution[Any]] = {}
        self._unclaimed: dict[Step[Any], None] = {}
        self._tasks: list[asyncio.Future[Any]] | None = None
        self._teams: dict[str, None] = {}
        self._drained: asyncio.Future[None] | None = None
        self.is_closed = True
        if call.budget is not None:
            self.account = self.open_account(call.budget)

    def open_account(self, limit: Budget) -> Account:
        """An account below the present one, whose end stops what runs in here."""
        return Account(
            limit,
            name=self.lineage,
            parent=self.account,
            started_s=self.state.elapsed_s(),
            on_exceeded=self.stop_steps,
        )

    # What it is asked, and what it tells.

    @property
    def summary(self) -> str:
        call = self.call
        given = [repr(value) for value in call.args]
        given += [f"{name}={value!r}" for name, value in call.kwargs.items()]
        return excerpt(", ".join(given))

    @property
    def usage(self) -> Usage:
        if self.step.kind == "tool":
            return Usage(num_tool_calls=self.num_attempts, seconds=self.seconds)
        return Usage(seconds=self.seconds) if self.is_begun else NO_USAGE

    def input_data(self) -> object:
        return {"args": self.call.args, "kwargs": dict(self.call.kwargs)}

    # One attempt.

    async def attempt(self, number: int) -> object:
        path = self.lineage if number == 1 else f"{self.lineage}~{number}"
        if self.step.kind == "tool":
            self.state.num_tool_calls += 1
        CURRENT.set(Strand(path, self))
        self.is_closed = False
        self._unclaimed = {}
        timers = self._start_budget_timers()
        try:
            value = await self._call()
        except BaseException:
            await self._leave(timers)
            raise
        unused = list(self._unclaimed)
        await self._leave(timers)
        if unused:
            raise _unused(self.lineage, unused)
        return value if self.call.check is None else self.call.check(value)

    async def _call(self) -> object:
        call = self.call
        args, kwargs = call.args, call.kwargs
        if call.inputs and not call.takes_handles:
            args = cast("tuple[object, ...]", fill(args))
            kwargs = cast("dict[str, object]", fill(dict(kwargs)))
        value = call.function(*args, **kwargs)
        if hasattr(value, "__await__"):
            value = await cast("Awaitable[object]", value)
        if isinstance(value, Step):
            raise WrongReturnType(
                f"{self.lineage!r} returned {cast('object', value)!r}, which is not awaited.",
                remedy="Return its result: 'return await step'.",
            )
        return value

    def _start_budget_timers(self) -> list[Timer]:
        """The time limit of the budget that starts here, if one does."""
        account = self.account
        limit_s = account.limit.seconds
        starts_here = self.home is None or self.call.budget is not None
        if limit_s is None or not starts_here or self.num_attempts > 1:
            return []

        def expire() -> None:
            self.abort(account.exceed("seconds", limit_s))

        return [self.state.clock.call_later(limit_s, expire)]

    async def _leave(self, timers: list[Timer]) -> None:
        """Cancel what still runs in here and wait for its end, whatever comes in between."""
        self.is_closed = True
        for timer in timers:
            timer.cancel()
        for execution in list(self._running.values()):
            execution.abort(asyncio.CancelledError())
        tasks = [task for task in self._tasks or () if not task.done()]
        for task in tasks:
            task.cancel()
        while self._running or tasks:
            try:
                await self._wait_for_end(tasks)
            except asyncio.CancelledError as error:
                self.fate = self.fate or error
            tasks = [task for task in tasks if not task.done()]
        self._tasks = None
        for team in list(self._teams):
            await self.disband(team)

    async def _wait_for_end(self, tasks: list[asyncio.Future[Any]]) -> None:
        if tasks:
            await asyncio.wait(tasks)
        elif self._running:
            self._drained = self.state.loop.create_future()
            await self._drained

    # The StepRunner's part: orders from the code inside.

    @property
    def key(self) -> str:
        return f"{self.state.run_id}/{self.lineage}"

    @property
    def tools(self) -> ToolRunner:
        return self.state.tools

    def submit(self, call: Call, strand: Strand) -> Step[Any]:
        self._check_open(call)
        if isinstance(call, GenCall):
            self._check_engine(call)
            if isinstance(call.prompt, LaneTurn):
                self._teams[call.prompt.team.path] = None
            self.account.admit(samples=call.n or 1)
            execution: Execution[Any] = self._generation(call, strand)
        else:
            self.account.admit(value_calls=1 if call.kind == "verifier" else 0)
            execution = self._scope(call, strand)
        step = execution.step
        self._running[step] = execution
        self._unclaimed[step] = None
        execution.launch()
        return step

    def _generation(self, call: GenCall, strand: Strand) -> Generation:
        lineage, after = strand.child_path(call.name), strand.frontier()
        step: Step[Any]
        if call.n is None:
            step = Step(lineage=lineage, name=call.name, kind="gen", owner=self, after=after)
        else:
            several: Candidates[Any] = Candidates(
                lineage=lineage, name=call.name, owner=self, num_wanted=call.n, after=after
            )
            step = several
        return Generation(step=step, call=call, state=self.state, account=self.account, home=self)

    def _scope(self, call: FunctionCall, strand: Strand) -> Scope:
        step: Step[Any] = Step(
            lineage=strand.child_path(call.name),
            name=call.name,
            kind=call.kind,
            owner=self,
            after=strand.frontier(),
        )
        return Scope(step=step, call=call, state=self.state, account=self.account, home=self)

    def _check_open(self, call: Call) -> None:
        try:
            is_here = asyncio.get_running_loop() is self.state.loop
        except RuntimeError:
            is_here = False
        if not is_here:
            raise StepOutsideRun(
                f"Step {call.name!r} was submitted from another thread or event loop.",
                remedy="Submit Steps on the Run's own loop.",
            )
        if self.is_closed:
            raise StepOutsideRun(
                f"Step {call.name!r} was submitted to {self.lineage!r}, which has ended.",
                remedy="Await what submits Steps before the function returns.",
            )

    def _check_engine(self, call: GenCall) -> None:
        offers, grammar, sampling = self.state.capabilities, call.output.grammar, call.sampling
        missing, remedy = "", "Choose another engine, or do without."
        if grammar is not None and grammar.kind not in offers.grammars:
            missing = f"grammars of kind {grammar.kind!r}"
        elif sampling.logprobs is not None and not offers.has_logprobs:
            missing = "log-probabilities"
        elif sampling.seed is not None and not offers.has_seeds:
            missing = "seeds"
        elif isinstance(call.prompt, LaneTurn) and not offers.sees_branches:
            missing = "lanes that see each other"
        elif (
            isinstance(call.prompt, Context) and call.prompt.has_joins and not offers.sees_branches
        ):
            missing = "joins of branches by their keys and values"
            remedy = "Join them as text, how='text', or choose an engine that sees branches."
        if missing:
            raise UnsupportedFeature(
                f"Engine {self.state.engine.name!r} does not offer {missing}.",
                remedy=remedy,
            )

    async def disband(self, team: str) -> None:
        del self._teams[team]
        await self.state.engine.cancel(team_id(self.state.run_id, team))

    def adopt(self, task: asyncio.Future[Any]) -> None:
        if self.step.kind == "tool":
            return
        if self._tasks is None:
            self._tasks = []
        elif len(self._tasks) >= PRUNE_AT and len(self._tasks) % PRUNE_AT == 0:
            self._tasks = [one for one in self._tasks if not one.done()]
        self._tasks.append(task)

    # The StepOwner's part: what handles ask for.

    def claimed(self, step: Step[Any]) -> None:
        self._unclaimed.pop(step, None)

    def was_read(self, step: Step[Any]) -> None:
        strand = CURRENT.get()
        if strand is not None:
            strand.saw(step)

    def cancel(self, step: Step[Any]) -> None:
        execution = self._running.get(step)
        if execution is not None:
            execution.abort(asyncio.CancelledError())

    def stop(self, step: Step[Any]) -> None:
        execution = self._running.get(step)
        if isinstance(execution, Generation):
            execution.stop()

    # The Home's part: what executions inside tell.

    def release(self, execution: Execution[Any]) -> None:
        del self._running[execution.step]
        if not self._running and self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def stop_steps(self, error: BudgetExceeded) -> None:
        """Everything that runs in here ends with ``error``."""
        for execution in list(self._running.values()):
            execution.abort(error)


def _unused(lineage: str, unused: list[Step[Any]]) -> StepUnused:
    names = ", ".join(repr(step.lineage) for step in unused)
    error = StepUnused(
        f"{lineage!r} ended with Steps that nobody awaited or consumed: {names}.",
        remedy="Await them, pass them on, or do not submit them.",
    )
    causes = [step.error for step in unused if step.error is not None]
    if causes and not isinstance(causes[0], asyncio.CancelledError):
        error.__cause__ = causes[0]
    return error

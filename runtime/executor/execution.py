"""The life of one Step: wait for inputs, try, try again, end."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Coroutine
from contextvars import Context, copy_context
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from weft.errors import JournalError, StepTimeout, WeftError
from weft.programs.calls import Call, FunctionCall
from weft.programs.handle import Step, fail, settle, use, when_done
from weft.programs.prompt import excerpt
from weft.programs.retry import NO_RETRY
from weft.runtime.executor.account import Account
from weft.runtime.executor.clock import Timer, sleep
from weft.runtime.executor.recorder import status_of, step_record
from weft.runtime.executor.state import RunState
from weft.runtime.observe.usage import Usage

__all__ = ["Execution", "Home"]

CallT = TypeVar("CallT", bound=Call)


class Home(Protocol):
    """The scope that an execution belongs to."""

    @property
    def lineage(self) -> str: ...

    def release(self, execution: Execution[Any]) -> None:
        """The execution has ended."""
        ...


class Execution(Generic[CallT]):
    """Runs one Step. Subclasses say what one attempt does.

    No asyncio task exists before the inputs are there, and one until the Step has ended. The
    Step is finished exactly once, whatever happens; ``fate`` is an end that was decided from
    outside and wins over what the attempt itself gives.
    """

    __slots__ = (
        "_context",
        "_num_pending",
        "account",
        "call",
        "ended_s",
        "fate",
        "home",
        "is_begun",
        "num_attempts",
        "started_s",
        "state",
        "step",
        "task",
    )

    def __init__(
        self, *, step: Step[Any], call: CallT, state: RunState, account: Account, home: Home | None
    ) -> None:
        self.step = step
        self.call = call
        self.state = state
        self.account = account
        self.home = home
        self.fate: BaseException | None = None
        self.task: asyncio.Task[None] | None = None
        self.is_begun = False
        self.num_attempts = 0
        self.started_s = self.ended_s = 0.0
        self._num_pending = 0
        self._context: Context | None = None

    @property
    def lineage(self) -> str:
        return self.step.lineage

    @property
    def parent(self) -> str:
        """Lineage of the enclosing Step; empty for the root."""
        return "" if self.home is None else self.home.lineage

    @property
    def inputs(self) -> tuple[str, ...]:
        """Lineages of the Steps it takes data from."""
        return tuple(step.lineage for step in self.call.inputs)

    @property
    @abstractmethod
    def usage(self) -> Usage:
        """What it has cost so far."""

    @property
    @abstractmethod
    def summary(self) -> str:
        """What it was asked, in one line."""

    @abstractmethod
    async def attempt(self, number: int) -> object:
        """Do the work once; ``number`` is 1 at first. Its result is the Step's."""

    @abstractmethod
    def input_data(self) -> object:
        """What the result depends on, for the record: resolved and JSON-able."""

    def output_data(self, value: object) -> object:
        """The result as the record keeps it."""
        return value

    def launch(self) -> None:
        """Start now, or as soon as the inputs are there."""
        self._tell_submitted()
        if self.call.inputs:
            self._wait_for_inputs()
        else:
            self._begin(self.perform())

    def launch_with(self, body: Coroutine[Any, Any, None]) -> None:
        """Start at once in a task that runs ``body``, which must await ``perform``."""
        self._tell_submitted()
        self._begin(body)

    def _tell_submitted(self) -> None:
        self.state.tell_step(
            self.step,
            "submitted",
            parent=self.parent,
            inputs=self.inputs if self.call.inputs else (),
            after=self.step.after,
            summary=self.summary,
        )

    def _wait_for_inputs(self) -> None:
        for step in self.call.inputs:
            use(step)
        if isinstance(self.call, FunctionCall) and self.call.takes_handles:
            self._begin(self.perform())
            return
        open_inputs = [step for step in self.call.inputs if not step.is_done]
        errors = [step.error for step in self.call.inputs if step.error is not None]
        if errors:
            self.abort(errors[0])
        elif not open_inputs:
            self._begin(self.perform())
        else:
            self._context = copy_context()
            self._num_pending = len(open_inputs)
            for step in open_inputs:
                when_done(step, partial(self._input_done, step))

    def _input_done(self, step: Step[Any]) -> None:
        self._num_pending -= 1
        if self.step.is_done:
            return
        if step.error is not None:
            self.abort(step.error)
        elif self._num_pending == 0:
            self._begin(self.perform())

    def _begin(self, body: Coroutine[Any, Any, None]) -> None:
        self.task = asyncio.Task(body, loop=self.state.loop, context=self._context)
        self._context = None

    def abort(self, error: BaseException) -> None:
        """End the Step with ``error``; a CancelledError counts as cancelled."""
        if self.fate is not None or self.step.is_done:
            return
        self.fate = error
        if self.task is None:
            self._finish_early(error)
        elif self.is_begun and self.task is not asyncio.current_task():
            self.task.cancel()

    def _finish_early(self, error: BaseException) -> None:
        self._abandon()
        if self.state.store is not None:
            self.state.late_records.append(step_record(self, None, error))
        self._finish(None, error)

    def _abandon(self) -> None:
        if isinstance(self.call, FunctionCall) and self.call.abandon is not None:
            self.call.abandon()

    async def perform(self) -> None:
        """The Step's task, from its first line to its end.

        Raises nothing, but passes on what is meant for the process: KeyboardInterrupt, SystemExit.
        """
        self.is_begun = True
        if self.fate is not None:
            self._finish_early(self.fate)
            return
        self.started_s = self.state.elapsed_s()
        # Inputs have results by now, which say more than their handles did.
        summary = self.summary if self.call.inputs else ""
        self.state.tell_step(self.step, "started", parent=self.parent, summary=summary)
        timer = self._start_timer()
        value: object = None
        error: BaseException | None = None
        try:
            self.num_attempts = 1
            if self.call.retry is NO_RETRY:
                value = await self.attempt(1)
            else:
                value = await self._attempts()
        except BaseException as raised:
            # Whatever it is, the Step must end: a task that died would leave others waiting.
            error = raised
        if timer is not None:
            timer.cancel()
        self.ended_s = self.state.elapsed_s()
        if self.state.store is not None:
            error = await self._record(value, self.fate or error)
        self._finish(value, self.fate or error)
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise error

    def _start_timer(self) -> Timer | None:
        limit_s = self.call.timeout_s
        if limit_s is None:
            return None

        def expire() -> None:
            self.abort(
                StepTimeout(
                    f"Step {self.lineage!r} took longer than its timeout of {limit_s:g} s.",
                    remedy="Raise timeout_s, or ask for less.",
                )
            )

        return self.state.clock.call_later(limit_s, expire)

    async def _attempts(self) -> object:
        retry = self.call.retry
        number = 1
        while True:
            self.num_attempts = number
            try:
                return await self.attempt(number)
            except Exception as error:
                if self.fate is not None or not self.can_retry or not retry.is_worth(error, number):
                    raise
                summary = excerpt(str(error))
            self.state.tell_step(self.step, "retrying", parent=self.parent, summary=summary)
            await sleep(self.state.clock, retry.wait_s(number))
            number += 1

    @property
    def can_retry(self) -> bool:
        """Nothing of the failed attempt has been given away."""
        return True

    async def _record(self, value: object, error: BaseException | None) -> BaseException | None:
        """Write the record before anybody sees the result; gives the error to end with."""
        store = self.state.store
        assert store is not None
        try:
            record = step_record(self, value, error)
            if isinstance(error, asyncio.CancelledError):
                self.state.late_records.append(record)
            else:
                await store.put_step(record)
        except asyncio.CancelledError as cancelled:
            return cancelled
        except WeftError as refused:
            return refused
        except Exception as broken:
            failure = JournalError(
                f"Step {self.lineage!r} was not recorded: {broken!r}.", remedy="Check the store."
            )
            failure.__cause__ = broken
            return failure
        return error

    def _finish(self, value: object, error: BaseException | None) -> None:
        phase = status_of(error)
        usage = self.usage
        self.state.work_seconds += usage.seconds if self.step.kind in ("gen", "tool") else 0.0
        self.state.tell_step(
            self.step,
            phase,
            parent=self.parent,
            summary=excerpt(value) if error is None else excerpt(str(error)),
            usage=usage,
        )
        if self.home is not None:
            self.home.release(self)
        if error is None:
            settle(self.step, value)
        else:
            fail(self.step, error)

    @property
    def seconds(self) -> float:
        """From started to ended; 0 before that."""
        return max(self.ended_s - self.started_s, 0.0)

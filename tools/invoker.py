"""Running a tool's function so that it can neither hang nor kill the program that calls it."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, NamedTuple, NoReturn, cast

from weft.errors import ToolError, ToolFailed, ToolTimeout, ToolUnavailable
from weft.tools.problems import describe_error
from weft.tools.slots import NoSlotLeft, Slot, Slots

__all__ = ["Invoker"]

MAX_THREADS = 16
"""Threads one synchronous tool may have alive at once, unless it sets max_concurrency."""
MAX_TASKS = 1024
"""Calls one asynchronous tool may have in flight at once, unless it sets max_concurrency."""
GRACE_S = 0.5
"""How long a cancelled asynchronous tool may clean up before it is abandoned."""


class _Outcome(NamedTuple):
    value: object
    error: BaseException | None


class Invoker:
    """Runs one tool's function, a thread per synchronous call, a task per asynchronous one.

    Threads are daemons and are never joined: one that hangs after its timeout is abandoned. It
    keeps its slot, so at most ``max_concurrency`` calls are ever alive; when every slot is held
    by abandoned calls, further ones fail at once. Nothing here is bound to an event loop.
    """

    def __init__(
        self,
        name: str,
        fn: Callable[..., object],
        *,
        is_async: bool,
        timeout_s: float | None,
        max_concurrency: int | None,
        grace_s: float = GRACE_S,
    ) -> None:
        self._name = name
        self._fn = fn
        self._is_async = is_async
        self._timeout_s = timeout_s
        self._grace_s = grace_s
        self._tasks: set[asyncio.Future[_Outcome]] = set()
        self.slots = Slots(max_concurrency or (MAX_TASKS if is_async else MAX_THREADS))

    async def run(self, arguments: Mapping[str, object]) -> object:
        """Call the function once a slot is free; the timeout counts from then.

        Raises: ToolTimeout, ToolUnavailable, ToolFailed (from what the function raised; a
        ToolError in the tool's own name passes unchanged).
        """
        call = self._start(arguments, await self._acquire())
        try:
            await asyncio.wait({call.future}, timeout=self._timeout_s)
            if not call.future.done():
                await self._stop(call)
                self._raise_timeout()
        except asyncio.CancelledError:
            await self._stop(call)
            raise
        return self._result(call.future)

    async def _acquire(self) -> Slot:
        try:
            return await self.slots.acquire()
        except NoSlotLeft:
            raise ToolUnavailable(
                f"Tool {self._name!r} has {self.slots.limit} earlier calls that still hang.",
                tool=self._name,
                remedy="Wait until they end, or give the tool a timeout of its own inside.",
            ) from None

    def _start(self, arguments: Mapping[str, object], slot: Slot) -> _Call:
        start = self._start_task if self._is_async else self._start_thread
        try:
            return _Call(start(arguments, slot), slot)
        except Exception as error:
            slot.release()
            self._raise_failed(error)

    def _start_task(self, arguments: Mapping[str, object], slot: Slot) -> asyncio.Future[_Outcome]:
        fn = cast("Callable[..., Coroutine[Any, Any, object]]", self._fn)
        task = asyncio.create_task(_attempt_async(fn, arguments), name=f"tool {self._name}")
        # The loop holds tasks weakly: an abandoned one must still live to its end.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: slot.release())
        return task

    def _start_thread(
        self, arguments: Mapping[str, object], slot: Slot
    ) -> asyncio.Future[_Outcome]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_Outcome] = loop.create_future()
        context = contextvars.copy_context()

        def work() -> None:
            outcome = context.run(_attempt, self._fn, arguments)
            slot.release()
            # A closed loop means that nobody waits any more.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_deliver, future, outcome)

        threading.Thread(target=work, name=f"tool {self._name}", daemon=True).start()
        return future

    async def _stop(self, call: _Call) -> None:
        """End a call nobody wants: cancel a task and let it clean up, abandon what goes on."""
        try:
            if self._is_async and call.future.cancel():
                await asyncio.wait({call.future}, timeout=self._grace_s)
        finally:
            if not call.future.done():
                call.slot.abandon()

    def _result(self, future: asyncio.Future[_Outcome]) -> object:
        if future.cancelled():
            self._raise_failed(asyncio.CancelledError("the tool cancelled itself"))
        outcome = future.result()
        if outcome.error is not None:
            self._raise_failed(outcome.error)
        return outcome.value

    def _raise_timeout(self) -> NoReturn:
        raise ToolTimeout(
            f"Tool {self._name!r} gave no result within {self._timeout_s} s.",
            tool=self._name,
            remedy="Ask for less, or raise the tool's timeout_s.",
        )

    def _raise_failed(self, error: BaseException) -> NoReturn:
        if isinstance(error, ToolError) and error.tool == self._name:
            raise error
        what = f"Tool {self._name!r} raised {describe_error(error)}"
        raise ToolFailed(what, tool=self._name) from error


class _Call(NamedTuple):
    future: asyncio.Future[_Outcome]
    slot: Slot


def _attempt(fn: Callable[..., object], arguments: Mapping[str, object]) -> _Outcome:
    """Everything a thread can raise becomes data, SystemExit and KeyboardInterrupt too."""
    try:
        return _Outcome(fn(**arguments), None)
    except BaseException as error:
        return _Outcome(None, error)


async def _attempt_async(
    fn: Callable[..., Coroutine[Any, Any, object]], arguments: Mapping[str, object]
) -> _Outcome:
    """As for a thread, but a cancellation stays one, and Ctrl-C on the loop's thread is real."""
    try:
        return _Outcome(await fn(**arguments), None)
    except (asyncio.CancelledError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        return _Outcome(None, error)


def _deliver(future: asyncio.Future[_Outcome], outcome: _Outcome) -> None:
    if not future.done():
        future.set_result(outcome)

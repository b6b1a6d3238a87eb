"""Lineage for plain asyncio tasks: ids are given when a task is created."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from contextvars import Context, copy_context
from typing import Any, Protocol

from weft.programs.strand import CURRENT

__all__ = ["LineageTaskFactory"]

_Coroutine = Coroutine[Any, Any, Any] | Generator[Any, None, Any]


class _TaskFactory(Protocol):
    def __call__(
        self, loop: asyncio.AbstractEventLoop, coro: _Coroutine, /, **kwargs: Any
    ) -> asyncio.Future[Any]: ...


class LineageTaskFactory:
    """The task factory of a loop while Runs live on it.

    Tasks created by code of a Run get a Strand of their own, so that ``asyncio.gather``,
    ``TaskGroup`` and ``create_task`` branches have ids that do not depend on timing. Tasks of
    anyone else pass through untouched, and so they do to the factory that was there before.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._previous: Any = loop.get_task_factory()
        self._users: set[object] = set()

    @classmethod
    def enter(cls, loop: asyncio.AbstractEventLoop, user: object) -> LineageTaskFactory:
        """Install a factory on the loop, or join the one that is there, until ``user`` leaves.

        The user is kept alive as long: a loop refers to waiting tasks only weakly.
        """
        factory = loop.get_task_factory()
        if not isinstance(factory, cls):
            factory = cls(loop)
            loop.set_task_factory(factory)
        factory._users.add(user)
        return factory

    def leave(self, user: object) -> None:
        """The last one to leave restores what was there, unless somebody has replaced it."""
        self._users.discard(user)
        if not self._users and self._loop.get_task_factory() is self:
            self._loop.set_task_factory(self._previous)

    def __call__(
        self,
        loop: asyncio.AbstractEventLoop,
        coro: _Coroutine,
        *,
        context: Context | None = None,
        **kwargs: Any,
    ) -> asyncio.Future[Any]:
        strand = CURRENT.get()
        if strand is None:
            return self._make(loop, coro, context, kwargs)
        name = getattr(coro, "__name__", "task").strip("<>")
        # A callback runs in the context of the task that scheduled it, at any later time: its
        # tasks are counted apart, so that they cannot shift the ordinals of that task.
        is_callback = asyncio.current_task(loop) is None
        branch = strand.fork("~" + name if is_callback else name)
        # A context given by the caller may be shared by several tasks; each needs its own.
        context = copy_context() if context is None else context.copy()
        context.run(CURRENT.set, branch)
        task = self._make(loop, coro, context, kwargs)
        strand.watch(task, branch)
        strand.runner.adopt(task)
        return task

    def _make(
        self,
        loop: asyncio.AbstractEventLoop,
        coro: _Coroutine,
        context: Context | None,
        kwargs: dict[str, Any],
    ) -> asyncio.Future[Any]:
        previous: _TaskFactory | None = self._previous
        if previous is None:
            return asyncio.Task(coro, loop=loop, context=context, **kwargs)
        if context is None:
            return previous(loop, coro, **kwargs)
        # Older factories know no ``context``: made within it, the task copies it.
        return context.run(previous, loop, coro, **kwargs)

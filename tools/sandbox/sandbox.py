"""Commands that run where they can reach nothing but one folder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from weft.errors import InvalidRequest, SandboxUnavailable
from weft.tools.sandbox.cgroups import Cgroups
from weft.tools.sandbox.frames import Frame, pack
from weft.tools.sandbox.held import HeldCommand
from weft.tools.sandbox.limits import SandboxLimits
from weft.tools.sandbox.owner import hand_over, session_uid
from weft.tools.sandbox.report import SandboxLevel, SandboxReport
from weft.tools.sandbox.result import SandboxResult, read_result
from weft.tools.sandbox.session import LauncherSession
from weft.tools.sandbox.wrapping import Task, wrap

__all__ = ["Sandbox"]

MoreMemory = Callable[[SandboxLimits], int | None]
WRAPPER_SPEAKS = b"bwrap: "
EXEC_FAILED = b"bwrap: execvp "
EXIT_NOT_FOUND = 127


class Sandbox:
    """Runs commands in one workspace, each confined as the report's level says.

    A command sees the system's programs read-only, an empty /tmp of its own, and the workspace as
    its current folder (/ws under bubblewrap): no network, no other file, no other process, and
    nothing of this process's environment. What it leaves running is killed when it ends.

    Calls may overlap; each then has a launcher of its own, kept for the next call. Leaving the
    context ends all of them, and the calls that still run raise SandboxUnavailable.
    """

    def __init__(
        self,
        report: SandboxReport,
        workspace: Path,
        limits: SandboxLimits,
        measured: Callable[[], Path] | None = None,
        more_memory: MoreMemory | None = None,
    ) -> None:
        self._report = report
        self._workspace = workspace
        self._limits = limits
        self._measured = measured
        self._more_memory = more_memory
        self._uid = session_uid(workspace)
        self._idle: list[LauncherSession] = []
        self._all: set[LauncherSession] = set()
        self._is_closed = False

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        report: SandboxReport,
        workspace: Path,
        limits: SandboxLimits,
        *,
        measured: Callable[[], Path] | None = None,
        more_memory: MoreMemory | None = None,
    ) -> AsyncGenerator[Sandbox]:
        """A sandbox for the length of the context.

        ``measured`` names the folder whose growth is limited, where that is not the workspace;
        it is asked before each command. The workspace may be replaced between commands: each
        sees what lies at its path when it starts.

        ``more_memory`` is asked where a command reached its memory limit and would be killed, with
        its limits as they were at its start; it waits, at most 2 s, and goes on if it is given a
        greater ``memory_bytes``. Only cgroups of version 1 can let it wait; elsewhere, and for
        None, it is killed.
        Run by root, the workspace and all in it are given to an unprivileged user, who runs the
        commands. Raises SandboxUnavailable where the level is ``none``, InvalidRequest for a
        workspace that is not an absolute path of a folder.
        """
        if report.level == SandboxLevel.NONE:
            raise SandboxUnavailable(
                "This machine cannot confine commands, so none is run.",
                remedy=" ".join(report.reasons),
            )
        if not workspace.is_absolute() or workspace.is_symlink() or not workspace.is_dir():
            raise InvalidRequest(
                f"The workspace is {str(workspace)!r}.",
                remedy="Give the absolute path of a folder, not of a link.",
            )
        sandbox = cls(report, workspace, limits, measured, more_memory)
        if sandbox._uid is not None:
            hand_over(workspace, sandbox._uid)
        try:
            sandbox._idle.append(await sandbox._start())
            yield sandbox
        finally:
            await sandbox._close()

    async def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        limits: SandboxLimits | None = None,
    ) -> SandboxResult:
        """Run a command to its end, or to its first limit.

        ``env`` is added to a minimal environment; ``limits`` replace the sandbox's. A cancelled
        call returns once every process of the command is dead. Raises InvalidRequest for a
        command that cannot be passed on, SandboxUnavailable where confining it failed.
        """
        limits = limits or self._limits
        async with self._session() as session:
            task = self._task(session, argv, env or {}, limits, is_held=False)
            answer = await session.ask(pack(task.head, task.body + stdin))
            while "is_part" in answer.head:
                await self._decide(session, limits)
                answer = await session.receive()
        return self._result(answer, limits)

    @asynccontextmanager
    async def hold(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        limits: SandboxLimits | None = None,
    ) -> AsyncGenerator[HeldCommand]:
        """Run a command for the length of the context, to be written to and read from.

        It is confined as by ``run``, under limits that count over its whole life; all it may
        write, to both streams together, is ``output_bytes``. Leaving the context, or being
        cancelled in it, kills it with every process it started. Raises as ``run`` does.
        """
        limits = limits or self._limits
        async with self._session() as session:
            task = self._task(session, argv, env or {}, limits, is_held=True)
            answer = await session.ask(pack(*task))
            if "is_part" not in answer.head:
                raise _refused(answer.head["error"])
            held = HeldCommand(
                session,
                lambda frame: self._result(frame, limits),
                lambda: self._decide(session, limits),
            )
            try:
                yield held
            finally:
                await held.close()

    async def _decide(self, session: LauncherSession, limits: SandboxLimits) -> None:
        """Tell a call that waits at its memory limit what it gets."""
        more = None if self._more_memory is None else self._more_memory(limits)
        await session.send(pack({"memory_bytes": more}))

    def _task(
        self,
        session: LauncherSession,
        argv: Sequence[str],
        env: Mapping[str, str],
        limits: SandboxLimits,
        *,
        is_held: bool,
    ) -> Task:
        _check(argv, env)
        return wrap(
            self._report,
            session.workspace,
            argv,
            env,
            limits,
            is_held=is_held,
            measured=None if self._measured is None else str(self._measured()),
            pauses=self._more_memory is not None,
        )

    def _result(self, answer: Frame, limits: SandboxLimits) -> SandboxResult:
        if "error" in answer.head:
            raise _refused(answer.head["error"])
        return _unwrapped(read_result(answer.head, answer.body, limits, self._cgroups()))

    @asynccontextmanager
    async def _session(self) -> AsyncGenerator[LauncherSession]:
        """A launcher for one command; kept for the next one where that came to its end."""
        session = self._idle.pop() if self._idle else await self._start()
        try:
            yield session
        finally:
            if session.is_idle and not self._is_closed:
                self._idle.append(session)
            else:
                self._all.discard(session)
                await session.close()

    def _cgroups(self) -> Cgroups | None:
        return self._report.cgroups if self._report.level == SandboxLevel.FULL else None

    async def _start(self) -> LauncherSession:
        if self._is_closed:
            raise SandboxUnavailable("The sandbox is closed.", remedy="Open it again.")
        session = await LauncherSession.start(self._workspace, self._uid)
        self._all.add(session)
        return session

    async def _close(self) -> None:
        self._is_closed = True
        self._idle.clear()
        sessions, self._all = self._all, set()
        await asyncio.gather(*(session.close() for session in sessions))


def _check(argv: Sequence[str], env: Mapping[str, str]) -> None:
    if not argv:
        raise InvalidRequest("The command is empty.", remedy="Name a program.")
    words = [*argv, *env, *env.values()]
    if any("\0" in word for word in words) or any("=" in name or not name for name in env):
        raise InvalidRequest(
            f"The command {list(argv)!r} or its environment cannot be passed to a program.",
            remedy="No text may hold a zero character, no variable's name an equals sign.",
        )


def _refused(why: str) -> SandboxUnavailable:
    return SandboxUnavailable(f"The command was not run: {why}.", remedy="See weft doctor.")


def _unwrapped(result: SandboxResult) -> SandboxResult:
    """The result without what bubblewrap said itself.

    That there is no such program is told as a shell tells it. Raises SandboxUnavailable where
    bubblewrap ended before the command began.
    """
    if result.exit_code != 1 or not result.stderr.startswith(WRAPPER_SPEAKS):
        return result
    if result.stderr.startswith(EXEC_FAILED):
        told = result.stderr.removeprefix(EXEC_FAILED)
        return replace(result, exit_code=EXIT_NOT_FOUND, stderr=told)
    raise _refused(result.stderr.decode(errors="replace").strip())

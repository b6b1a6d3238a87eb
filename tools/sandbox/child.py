"""What a forked child does before it becomes the command: give up every right."""

from __future__ import annotations

import os
import resource
import signal
from contextlib import suppress
from typing import Any, NoReturn

from weft.tools.sandbox.kernel import die_with_parent, restrict_calls, restrict_files

__all__ = ["EXIT_NOT_FOUND", "become"]

EXIT_NOT_FOUND = 127
FILTER_FD, ARGS_FD = 3, 4
"""Where the command's wrapper finds the seccomp filter and its arguments."""


def become(
    task: dict[str, Any], code: bytes, workspace: str, uid: int | None, fds: list[int]
) -> NoReturn:
    """Run the task's command in this process. Raises OSError with what hindered it.

    ``fds`` become the descriptors from 0 on: the three streams, the filter and the arguments.
    ``code`` is the filter, which only Landlock's level puts on here: bubblewrap does it itself.
    """
    os.setsid()
    _limit(task, os.getuid() if uid is None else uid)
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    die_with_parent()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    # The launcher's own descriptors fill 3 and 4, so none of these is hit before its turn.
    assert min(fds) > ARGS_FD
    for target, fd in enumerate(fds):
        os.dup2(fd, target, inheritable=True)
    if task["landlock"] is not None:
        os.chdir(workspace)
        restrict_files(task["landlock"], [workspace, *task["devices"]])
        restrict_calls(code)
        os.closerange(FILTER_FD, ARGS_FD + 1)
    _execute(task)


def _execute(task: dict[str, Any]) -> NoReturn:
    argv = task["argv"]
    try:
        os.execvpe(argv[0], argv, task["env"])
    except OSError as error:
        if task["landlock"] is None:
            raise  # the wrapper is missing; under Landlock it is the command, as in a shell
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
        os._exit(EXIT_NOT_FOUND)


def _limit(task: dict[str, Any], uid: int) -> None:
    for name, value in task["rlimits"].items():
        resource.setrlimit(getattr(resource, name), (value, value))
    if (more := task["num_processes"]) is not None:
        # The kernel counts a user's threads, not a command's.
        allowed = more + _num_tasks(uid)
        resource.setrlimit(resource.RLIMIT_NPROC, (allowed, allowed))


def _num_tasks(uid: int) -> int:
    """How many threads of a user the machine runs."""
    total = 0
    for name in os.listdir("/proc"):
        with suppress(OSError):
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == uid:
                total += len(os.listdir(f"/proc/{name}/task"))
    return total

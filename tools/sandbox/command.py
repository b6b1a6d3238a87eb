"""One command and all that it starts, from the fork to the last reaped process."""

from __future__ import annotations

import os
import resource
import select
import signal
import time
from contextlib import suppress
from typing import NoReturn

from weft.tools.sandbox.frames import Frame
from weft.tools.sandbox.group import CallGroup
from weft.tools.sandbox.kernel import die_with_parent, restrict_calls, restrict_files
from weft.tools.sandbox.output import Output
from weft.tools.sandbox.usage import children, hidden_bytes, used_bytes

__all__ = ["Command"]

CHUNK = 1 << 16
TICK_S = 0.1
"""The pause between two looks at what the workspace holds, at least."""
SWEEP_SHARE = 20
"""A look may take one part in so many of the time."""
EXIT_NOT_FOUND = 127
FILTER_FD, ARGS_FD = 3, 4
"""Where the command's wrapper finds the seccomp filter and its arguments."""


class Command:
    """What the launcher runs for one frame.

    ``frame.head`` holds argv, env, rlimits, num_processes (or None), landlock and devices (paths
    that Landlock lets read, and write), and the limits keep_bytes, flood_bytes, growth_bytes and
    wall_s; ``frame.body`` the filter, the arguments and the standard input, of ``sizes`` bytes.
    ``ends`` are descriptors that become readable when the runner is gone. Close it always.
    """

    def __init__(self, frame: Frame, workspace: str, uid: int | None, ends: list[int]) -> None:
        self._task = frame.head
        filter_bytes, args_bytes = frame.head["sizes"]
        self._filter = frame.body[:filter_bytes]
        self._args = frame.body[filter_bytes : filter_bytes + args_bytes]
        self._stdin = memoryview(frame.body)[filter_bytes + args_bytes :]
        self._workspace = workspace
        self._uid = uid
        self._ends = ends
        self._folder = os.open(workspace, os.O_RDONLY | os.O_DIRECTORY)
        self._fds: list[int] = [self._folder]
        self._before_bytes = used_bytes(self._folder)
        self._began = time.monotonic()
        self._outputs: dict[int, Output] = {}
        self._poll = select.poll()
        self._pid = 0
        self._status = 0
        self._stopped: str | None = None
        self._cpu_s = 0.0
        self._rss_bytes = 0

    def start(self, group: CallGroup) -> None:
        """Fork; returns once the command runs. Raises OSError with what hindered it."""
        stdin, stdout, stderr, failure = (os.pipe() for _ in range(4))
        inner = [stdin[0], stdout[1], stderr[1], _in_memory(self._filter), _in_memory(self._args)]
        self._pid = os.fork()
        if self._pid == 0:
            try:
                group.join()
                self._become(inner)
            except BaseException as error:
                os.write(failure[1], str(error).encode())
            os._exit(EXIT_NOT_FOUND)
        for descriptor in (*inner, failure[1]):
            os.close(descriptor)
        self._input = stdin[1]
        self._outputs = {fd: Output(self._task["keep_bytes"]) for fd in (stdout[0], stderr[0])}
        self._fds += [self._input, *self._outputs, failure[0]]
        if problem := os.read(failure[0], CHUNK):
            raise OSError(problem.decode(errors="replace"))

    def _become(self, fds: list[int]) -> NoReturn:
        """In the child: give up every right, then run the command."""
        task = self._task
        os.setsid()
        self._limit()
        if self._uid is not None:
            os.setgroups([])
            os.setresgid(self._uid, self._uid, self._uid)
            os.setresuid(self._uid, self._uid, self._uid)
        die_with_parent()
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        # The launcher's own descriptors fill 3 and 4, so none of these is hit before its turn.
        assert min(fds) > ARGS_FD
        for target, fd in enumerate(fds):
            os.dup2(fd, target, inheritable=True)
        if task["landlock"] is not None:
            os.chdir(self._workspace)
            restrict_files(task["landlock"], [self._workspace, *task["devices"]])
            restrict_calls(self._filter)
            os.closerange(FILTER_FD, ARGS_FD + 1)
        self._execute()

    def _execute(self) -> NoReturn:
        argv = self._task["argv"]
        try:
            os.execvpe(argv[0], argv, self._task["env"])
        except OSError as error:
            if self._task["landlock"] is None:
                raise  # the wrapper is missing; under Landlock it is the command, as in a shell
            os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
            os._exit(EXIT_NOT_FOUND)

    def _limit(self) -> None:
        for name, value in self._task["rlimits"].items():
            resource.setrlimit(getattr(resource, name), (value, value))
        if (more := self._task["num_processes"]) is not None:
            # The kernel counts a user's threads, not a command's.
            allowed = more + _num_tasks(os.getuid() if self._uid is None else self._uid)
            resource.setrlimit(resource.RLIMIT_NPROC, (allowed, allowed))

    def watch(self) -> bool:
        """Feed and read the command until it or a limit ends it; False: the runner is gone."""
        child = os.pidfd_open(self._pid)
        self._fds.append(child)
        for fd in (*self._outputs, *self._ends, child):
            self._poll.register(fd, select.POLLIN)
        os.set_blocking(self._input, False)
        self._poll.register(self._input, select.POLLOUT)
        look_at = self._began + TICK_S
        while self._stopped is None:
            ready = [fd for fd, _ in self._poll.poll(self._pause_ms())]
            if any(fd in self._ends for fd in ready):
                return False
            self._move(ready)
            if child in ready:
                break
            look_at = self._look(look_at)
        return True

    def _pause_ms(self) -> float:
        wall_s: float = self._task["wall_s"]
        left_s = self._began + wall_s - time.monotonic()
        return 1000 * max(0.0, min(TICK_S, left_s))

    def _move(self, ready: list[int]) -> None:
        for fd in ready:
            if fd == self._input:
                self._feed()
            elif fd in self._outputs:
                self._read(fd)

    def _feed(self) -> None:
        with suppress(BlockingIOError):
            try:
                self._stdin = self._stdin[os.write(self._input, self._stdin[:CHUNK]) :]
            except BrokenPipeError:
                self._stdin = self._stdin[:0]
        if not self._stdin:
            self._poll.unregister(self._input)
            self._fds.remove(self._input)
            os.close(self._input)
            self._input = -1

    def _read(self, fd: int) -> None:
        data = os.read(fd, CHUNK)
        if not data:
            self._poll.unregister(fd)
        self._outputs[fd].add(data)
        if self._num_bytes() > self._task["flood_bytes"]:
            self._stopped = "output"

    def _num_bytes(self) -> int:
        return sum(output.num_bytes for output in self._outputs.values())

    def _look(self, look_at: float) -> float:
        """Compare the clock and the workspace with their limits; says when to look again."""
        now = time.monotonic()
        if now - self._began >= self._task["wall_s"]:
            self._stopped = "wall"
        if now < look_at:
            return look_at
        hidden = hidden_bytes(os.fstat(self._folder).st_dev)
        if self._growth() + hidden > self._task["growth_bytes"]:
            self._stopped = "workspace"
        return now + max(TICK_S, SWEEP_SHARE * (time.monotonic() - now))

    def _growth(self) -> int:
        return used_bytes(self._folder) - self._before_bytes

    def outcome(self) -> Frame:
        """Kill what is left; then what happened, and the kept parts of the two streams."""
        wall_s = time.monotonic() - self._began
        self._kill()
        # With every writer dead, the rest of the streams is what the pipes hold.
        for fd, output in self._outputs.items():
            while data := os.read(fd, CHUNK):
                output.add(data)
        kept = [output.kept() for output in self._outputs.values()]
        body = b"".join(kept)
        head = {
            "status": self._status,
            "stopped": self._stopped,
            "stdout_bytes": len(kept[0]),
            "dropped_bytes": self._num_bytes() - len(body),
            "wall_s": wall_s,
            "cpu_s": self._cpu_s,
            "rss_bytes": self._rss_bytes,
            "growth_bytes": self._growth(),
        }
        return Frame(head, body)

    def close(self) -> None:
        """Kill and reap every process that is left, and close all descriptors."""
        self._kill()
        for fd in self._fds:
            os.close(fd)

    def _kill(self) -> None:
        """Kill children and the orphans that become children, until there are none; then reap.

        The dead count against the limit of processes until they are reaped: while a fork bomb is
        taken apart, no room is made for new forks.
        """
        dead: set[int] = set()
        # An orphan below this process becomes its child, as it adopts them.
        while left := [pid for pid in children(os.getpid()) if pid not in dead]:
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            for pid in left:
                os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            dead.update(left)
        while self._reap():
            pass

    def _reap(self) -> bool:
        try:
            pid, status, usage = os.wait4(-1, 0)
        except ChildProcessError:
            return False
        if pid == self._pid:
            self._status = status
        self._cpu_s += usage.ru_utime + usage.ru_stime
        self._rss_bytes = max(self._rss_bytes, usage.ru_maxrss * 1024)
        return True


def _in_memory(data: bytes) -> int:
    descriptor = os.memfd_create("weft")
    os.write(descriptor, data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _num_tasks(uid: int) -> int:
    """How many threads of a user the machine runs."""
    total = 0
    for name in os.listdir("/proc"):
        with suppress(OSError):
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == uid:
                total += len(os.listdir(f"/proc/{name}/task"))
    return total

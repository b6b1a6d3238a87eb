"""One command and all that it starts, from the fork to the last reaped process."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from weft.tools.sandbox.child import EXIT_NOT_FOUND, become
from weft.tools.sandbox.feed import CommandFeed
from weft.tools.sandbox.frames import Frame, FrameSource
from weft.tools.sandbox.group import CallGroup
from weft.tools.sandbox.mounts import SeenWorkspace
from weft.tools.sandbox.output import KeptOutput, Output, PassedOutput
from weft.tools.sandbox.pause import MemoryPause
from weft.tools.sandbox.usage import children, hidden_bytes, used_bytes

__all__ = ["Command", "Place"]

CHUNK = 1 << 16
UNFED_BYTES = 1 << 20
"""With more input than this waiting for a held command, no more is taken from the runner."""
TICK_S = 0.1
"""The pause between two looks at what the workspace holds, at least."""
SWEEP_SHARE = 20
"""A look may take one part in so many of the time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a launcher runs its commands, and how it hears of the runner."""

    workspace: SeenWorkspace
    uid: int | None
    source: FrameSource
    """The runner's frames: their end is the runner's."""
    runner: int
    """A descriptor that becomes readable when the runner is gone."""


class Command:
    """What the launcher runs for one frame.

    ``frame.head`` holds argv, env, rlimits, num_processes (or None), landlock and devices (paths
    that Landlock lets read, and write), is_held, measured (the folder whose growth counts, None:
    the workspace), and the limits keep_bytes, flood_bytes, growth_bytes and wall_s;
    ``frame.body`` the filter, the arguments and the standard input, of ``sizes`` bytes. A held
    command's output goes to ``send`` as it comes, and frames that follow bring its input. ``ask``
    asks the runner for more memory, which a frame brings too. Close it always.
    """

    def __init__(
        self,
        frame: Frame,
        place: Place,
        send: Callable[[bytes], None],
        ask: Callable[[], None],
    ) -> None:
        self._task = frame.head
        filter_bytes, args_bytes = frame.head["sizes"]
        self._filter = frame.body[:filter_bytes]
        self._args = frame.body[filter_bytes : filter_bytes + args_bytes]
        self._stdin = frame.body[filter_bytes + args_bytes :]
        self._place = place
        self._send = send
        self._ask = ask
        self._pause: MemoryPause | None = None
        place.workspace.refresh()
        self._device = os.stat(place.workspace.path).st_dev
        self._folder = place.workspace.open(self._task["measured"])
        self._fds = [self._folder]
        self._before_bytes = used_bytes(self._folder)
        self._began = time.monotonic()
        self._feed: CommandFeed | None = None
        self._outputs: dict[int, Output] = {}
        self._poll = select.poll()
        self._pid = 0
        self._status = 0
        self._stopped: str | None = None
        self._cpu_s = 0.0
        self._rss_bytes = 0

    def start(self, group: CallGroup) -> None:
        """Fork; returns once the command runs. Raises OSError with what hindered it."""
        self._pause = MemoryPause(group, self._poll, self._ask)
        stdin, stdout, stderr, failure = (self._pipe() for _ in range(4))
        files = [_in_memory(data) for data in (self._filter, self._args)]
        self._fds += files
        inner = [stdin[0], stdout[1], stderr[1], *files]
        self._pid = os.fork()
        if self._pid == 0:
            try:
                group.join()
                become(self._task, self._filter, self._place.workspace.path, self._place.uid, inner)
            except BaseException as error:
                os.write(failure[1], str(error).encode())
            os._exit(EXIT_NOT_FOUND)
        for descriptor in (*inner, failure[1]):
            self._fds.remove(descriptor)
            os.close(descriptor)
        if problem := os.read(failure[0], CHUNK):
            raise OSError(problem.decode(errors="replace"))
        self._fds.remove(stdin[1])
        is_held: bool = self._task["is_held"]
        self._feed = CommandFeed(stdin[1], self._poll, self._stdin, is_last=not is_held)
        kept = KeptOutput(self._task["keep_bytes"])
        passed = PassedOutput(self._task["flood_bytes"], self._send)
        self._outputs[stdout[0]] = passed if is_held else kept
        self._outputs[stderr[0]] = KeptOutput(self._task["keep_bytes"])

    def _pipe(self) -> tuple[int, int]:
        ends = os.pipe()
        self._fds += ends
        return ends

    def watch(self) -> bool:
        """Feed and read the command until it or a limit ends it; False: the runner is gone."""
        child = os.pidfd_open(self._pid)
        self._fds.append(child)
        for fd in (*self._outputs, self._place.source.fd, self._place.runner, child):
            self._poll.register(fd, select.POLLIN)
        look_at = self._began + TICK_S
        while self._stopped is None:
            ready = {fd for fd, _ in self._poll.poll(self._pause_ms())}
            if not self._hear(ready):
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

    def _hear(self, ready: set[int]) -> bool:
        """Take what the runner sends; False where it is gone, or wants no result."""
        source = self._place.source
        if self._place.runner in ready:
            return False
        if source.fd not in ready:
            return True
        if not source.fill():
            return False
        assert self._feed is not None and self._pause is not None
        while (frame := source.pop()) is not None:
            if "memory_bytes" in frame.head:
                self._pause.decide(frame.head["memory_bytes"])
            else:
                self._feed.add(frame.body, is_last=frame.head["is_last"])
        return True

    def _move(self, ready: set[int]) -> None:
        """Read what the command wrote, and write what it reads."""
        assert self._feed is not None and self._pause is not None
        if self._pause.fd in ready:
            self._pause.notice()
        for fd in ready & self._outputs.keys():
            self._read(fd)
        if self._feed.fd in ready:
            self._feed.feed()
        # Its end is noticed all the same.
        is_full = self._feed.num_bytes > UNFED_BYTES
        self._poll.modify(self._place.source.fd, 0 if is_full else select.POLLIN)

    def _read(self, fd: int) -> None:
        data = os.read(fd, CHUNK)
        if not data:
            self._poll.unregister(fd)
        self._outputs[fd].add(data)
        if sum(output.num_bytes for output in self._outputs.values()) > self._task["flood_bytes"]:
            self._stopped = "output"

    def _look(self, look_at: float) -> float:
        """Compare the clock and the workspace with their limits; says when to look again."""
        now = time.monotonic()
        assert self._pause is not None
        self._pause.look(now)
        if now - self._began >= self._task["wall_s"]:
            self._stopped = "wall"
        if now < look_at:
            return look_at
        hidden = hidden_bytes(self._device)
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
            "dropped_bytes": sum(output.num_dropped for output in self._outputs.values()),
            "wall_s": wall_s,
            "cpu_s": self._cpu_s,
            "rss_bytes": self._rss_bytes,
            "growth_bytes": self._growth(),
            "grown_to": None if self._pause is None else self._pause.grown_to,
        }
        return Frame(head, body)

    def close(self) -> None:
        """Kill and reap every process that is left, and close all descriptors."""
        self._kill()
        if self._feed is not None:
            self._feed.close()
        if self._pause is not None:
            self._pause.close()
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

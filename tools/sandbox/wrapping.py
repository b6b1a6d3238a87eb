"""How a command is wrapped at each level: the task that the launcher gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from weft.tools.sandbox.limits import SandboxLimits
from weft.tools.sandbox.report import SandboxLevel, SandboxReport
from weft.tools.sandbox.seccomp import machine, seccomp_filter

__all__ = ["Task", "wrap"]

READABLE = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin")
LOADER_FILES = ("/etc/ld.so.cache", "/etc/alternatives")
DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
NUM_FILES = 256
FLOOD_FACTOR = 8
"""Output this many times the kept amount is a flood, and ends the command."""


class Task(NamedTuple):
    """A launcher's frame, before the standard input is added."""

    head: dict[str, Any]
    body: bytes


def wrap(
    report: SandboxReport,
    workspace: str,
    argv: Sequence[str],
    env: Mapping[str, str],
    limits: SandboxLimits,
    *,
    is_held: bool = False,
    measured: str | None = None,
    pauses: bool = False,
) -> Task:
    """The task that runs ``argv`` at the report's level, in a workspace as its launcher sees it.

    A held command's output is all passed on, so there is no more of it than would be kept.
    ``measured`` is the folder whose growth counts, where that is not the workspace.
    With ``pauses`` the launcher asks before it lets a call be killed at its memory limit.
    """
    is_full = report.level == SandboxLevel.FULL
    is_landlock = report.level == SandboxLevel.LANDLOCK
    code = seccomp_filter(machine(), has_namespaces=not is_landlock)
    home = workspace if is_landlock else "/ws"
    names = _environment(home, home if is_landlock else "/tmp") | dict(env)
    args = b"" if is_landlock else _bwrap_args(workspace, names, limits)
    bwrap = [str(report.bwrap), "--args", "4", "--", *argv]
    head = {
        "argv": list(argv) if is_landlock else bwrap,
        # bubblewrap runs before the walls stand: it gets none of what the caller chose.
        "env": names if is_landlock else {},
        "sizes": [len(code), len(args)],
        "rlimits": _rlimits(limits, is_full=is_full),
        "num_processes": None if is_full else limits.max_processes,
        "landlock": [*READABLE, *LOADER_FILES] if is_landlock else None,
        "devices": DEVICES,
        "cgroup": _plan(report, limits, pauses=pauses) if is_full else None,
        "keep_bytes": limits.output_bytes,
        "flood_bytes": limits.output_bytes * (1 if is_held else FLOOD_FACTOR),
        "is_held": is_held,
        "measured": measured,
        "growth_bytes": limits.workspace_bytes,
        "wall_s": limits.wall_s,
    }
    return Task(head, code + args)


def _plan(report: SandboxReport, limits: SandboxLimits, *, pauses: bool) -> dict[str, Any] | None:
    return None if report.cgroups is None else report.cgroups.plan(limits, pauses=pauses)


def _environment(home: str, temporary: str) -> dict[str, str]:
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": home,
        "TMPDIR": temporary,
        "LANG": "C.UTF-8",
    }


def _rlimits(limits: SandboxLimits, *, is_full: bool) -> dict[str, int]:
    common = {
        "RLIMIT_CORE": 0,
        "RLIMIT_NOFILE": NUM_FILES,
        "RLIMIT_FSIZE": limits.workspace_bytes,
    }
    return common if is_full else common | {"RLIMIT_AS": limits.memory_bytes}


def _bwrap_args(workspace: str, env: Mapping[str, str], limits: SandboxLimits) -> bytes:
    """Options of bubblewrap. They go through a file, as a command line can be read by anyone."""
    args = ["--unshare-all", "--unshare-user", "--uid", "1000", "--gid", "1000"]
    args += ["--hostname", "sandbox", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    args += ["--seccomp", "3", "--clearenv"]
    for name, value in env.items():
        args += ["--setenv", name, value]
    for path in (*READABLE, *LOADER_FILES):
        args += ["--ro-bind-try", path, path]
    args += ["--proc", "/proc", "--dev", "/dev"]
    for path in ("/dev/shm", "/tmp"):
        args += ["--size", str(limits.memory_bytes), "--tmpfs", path]
    args += ["--bind", workspace, "/ws", "--chdir", "/ws"]
    # Last, for what was mounted above still had to be written.
    args += ["--remount-ro", "/dev", "--remount-ro", "/"]
    return b"".join(arg.encode() + b"\0" for arg in args)

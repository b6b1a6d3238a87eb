"""The few kernel calls that the standard library lacks: Landlock, seccomp, prctl."""

from __future__ import annotations

import ctypes
import os
import struct

__all__ = [
    "LIBC",
    "adopt_orphans",
    "checked",
    "die_with_parent",
    "landlock_version",
    "restrict_calls",
    "restrict_files",
]

PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 22, 36, 38
SECCOMP_MODE_FILTER = 2
SIGKILL = 9
LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 444, 445, 446
LANDLOCK_READ, LANDLOCK_FILE_READ = 0b1101, 0b101
LANDLOCK_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""How many of the rights to files each version of Landlock knows."""
LANDLOCK_FILE_RIGHTS = 0b1100000000000111
"""Those that mean something for what is not a folder: run, write, read, cut, device calls."""

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long


def checked(result: int, what: str) -> int:
    """The result of a kernel call. Raises OSError where it failed."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def _prctl(option: int, value: int, pointer: object = 0) -> None:
    last = pointer if pointer else ctypes.c_ulong(0)
    zero = ctypes.c_ulong(0)
    checked(LIBC.prctl(option, ctypes.c_ulong(value), last, zero, zero), f"prctl {option}")


def landlock_version() -> int:
    """Which version of Landlock the kernel has; 0 where it has none."""
    version = LIBC.syscall(LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint(1))
    return max(0, int(version))


def restrict_files(readable: list[str], writable: list[str]) -> None:
    """Leave this process only the named files and folders, for good; no TCP, no signals out."""
    version = landlock_version()
    every = (1 << LANDLOCK_RIGHTS.get(version, 16)) - 1
    net, scope = 0b11 if version >= 4 else 0, 0b11 if version >= 6 else 0
    rules = struct.pack("QQQ", every, net, scope)[: 24 if version >= 6 else 16 if net else 8]
    size = ctypes.c_size_t(len(rules))
    ruleset = checked(LIBC.syscall(LANDLOCK_CREATE, rules, size, ctypes.c_uint(0)), "landlock")
    for paths, rights in ((readable, LANDLOCK_READ), (writable, every)):
        for path in paths:
            if os.path.exists(path):
                _allow(ruleset, path, rights)
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    checked(LIBC.syscall(LANDLOCK_RESTRICT, ruleset, ctypes.c_uint(0)), "landlock")
    os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    target = os.open(path, os.O_PATH | os.O_CLOEXEC)
    if not os.path.isdir(path):
        rights &= LANDLOCK_FILE_RIGHTS
    rule = struct.pack("=Qi", rights, target)
    checked(LIBC.syscall(LANDLOCK_ADD, ruleset, 1, rule, ctypes.c_uint(0)), f"landlock {path}")
    os.close(target)


def restrict_calls(program: bytes) -> None:
    """Put the seccomp filter over this process, for good."""
    instructions = ctypes.create_string_buffer(program, len(program))
    address = ctypes.addressof(instructions)
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(program) // 8, address))
    _prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header)


def adopt_orphans() -> None:
    """Become the parent of every process below this one whose own parent ends."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Be killed when the parent ends. A change of user undoes it: call it after."""
    _prctl(PR_SET_PDEATHSIG, SIGKILL)

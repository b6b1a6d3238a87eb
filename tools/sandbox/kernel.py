"""The few kernel calls that the standard library lacks: mounts, Landlock, seccomp."""

from __future__ import annotations

import ctypes
import os
import struct

__all__ = [
    "adopt_orphans",
    "die_with_parent",
    "landlock_version",
    "restrict_calls",
    "restrict_files",
    "show_workspace",
]

SEEN_WORKSPACE = "/tmp/ws"
"""Where root's launcher mounts the workspace, in a mount namespace that ends with it."""
PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 22, 36, 38
SECCOMP_MODE_FILTER = 2
SIGKILL = 9
CLONE_NEWNS = 0x20000
MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 4096, 16384, 1 << 18
LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 444, 445, 446
LANDLOCK_READ, LANDLOCK_FILE_READ = 0b1101, 0b101
LANDLOCK_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""How many of the rights to files each version of Landlock knows."""
LANDLOCK_FILE_RIGHTS = 0b1100000000000111
"""Those that mean something for what is not a folder: run, write, read, cut, device calls."""

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long


def _checked(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def _prctl(option: int, value: int, pointer: object = 0) -> None:
    last = pointer if pointer else ctypes.c_ulong(0)
    zero = ctypes.c_ulong(0)
    _checked(LIBC.prctl(option, ctypes.c_ulong(value), last, zero, zero), f"prctl {option}")


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    texts = [None if text is None else text.encode() for text in (source, target, kind, data)]
    result = LIBC.mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3])
    _checked(result, f"mount {target}")


def show_workspace(workspace: str, uid: int | None) -> str:
    """Where the session's user can reach the workspace, whatever guards the folders above it.

    As root that is a mount in a namespace of this process; where such cannot be had, and for
    any other user, the workspace itself.
    """
    if uid is None or LIBC.unshare(CLONE_NEWNS) != 0:
        return workspace
    _mount("none", "/", None, MS_REC | MS_PRIVATE)
    folder = os.open(workspace, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
    _mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=64k")
    os.mkdir(SEEN_WORKSPACE)
    _mount(f"/proc/self/fd/{folder}", SEEN_WORKSPACE, None, MS_BIND)
    os.close(folder)
    return SEEN_WORKSPACE


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
    ruleset = _checked(LIBC.syscall(LANDLOCK_CREATE, rules, size, ctypes.c_uint(0)), "landlock")
    for paths, rights in ((readable, LANDLOCK_READ), (writable, every)):
        for path in paths:
            if os.path.exists(path):
                _allow(ruleset, path, rights)
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    _checked(LIBC.syscall(LANDLOCK_RESTRICT, ruleset, ctypes.c_uint(0)), "landlock")
    os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    target = os.open(path, os.O_PATH | os.O_CLOEXEC)
    if not os.path.isdir(path):
        rights &= LANDLOCK_FILE_RIGHTS
    rule = struct.pack("=Qi", rights, target)
    _checked(LIBC.syscall(LANDLOCK_ADD, ruleset, 1, rule, ctypes.c_uint(0)), f"landlock {path}")
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

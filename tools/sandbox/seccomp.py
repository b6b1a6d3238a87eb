"""The system calls that sandboxed code may not make, as a seccomp filter.

A denied call fails with EPERM, so the program can say what it lacked. The filter is a classic BPF
program of 8-byte instructions, written here so that no C library is needed. It stays on for
whatever the command starts.
"""

from __future__ import annotations

import errno
import platform
import struct
from typing import Literal, NamedTuple

from weft.errors import UnsupportedFeature

__all__ = ["Machine", "machine", "seccomp_filter"]

Machine = Literal["x86_64", "aarch64"]


class Numbers(NamedTuple):
    """One call's number on each machine; None where the machine lacks the call."""

    x86_64: int | None
    aarch64: int | None


AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

DENIED = {
    # Other processes.
    "ptrace": Numbers(101, 117),
    "process_vm_readv": Numbers(310, 270),
    "process_vm_writev": Numbers(311, 271),
    "process_madvise": Numbers(440, 440),
    "kcmp": Numbers(312, 272),
    "pidfd_getfd": Numbers(438, 438),
    # Namespaces and mounts.
    "unshare": Numbers(272, 97),
    "setns": Numbers(308, 268),
    "chroot": Numbers(161, 51),
    "pivot_root": Numbers(155, 41),
    "mount": Numbers(165, 40),
    "umount2": Numbers(166, 39),
    "open_tree": Numbers(428, 428),
    "move_mount": Numbers(429, 429),
    "fsopen": Numbers(430, 430),
    "fsconfig": Numbers(431, 431),
    "fsmount": Numbers(432, 432),
    "fspick": Numbers(433, 433),
    "mount_setattr": Numbers(442, 442),
    "open_tree_attr": Numbers(467, 467),
    "name_to_handle_at": Numbers(303, 264),
    "open_by_handle_at": Numbers(304, 265),
    # Parts of the kernel with a long record of holes.
    "io_uring_setup": Numbers(425, 425),
    "io_uring_enter": Numbers(426, 426),
    "io_uring_register": Numbers(427, 427),
    "bpf": Numbers(321, 280),
    "perf_event_open": Numbers(298, 241),
    "userfaultfd": Numbers(323, 282),
    "add_key": Numbers(248, 217),
    "request_key": Numbers(249, 218),
    "keyctl": Numbers(250, 219),
    "fanotify_init": Numbers(300, 262),
    "memfd_secret": Numbers(447, 447),
    "modify_ldt": Numbers(154, None),
    "vmsplice": Numbers(278, 75),
    # The machine itself.
    "init_module": Numbers(175, 105),
    "finit_module": Numbers(313, 273),
    "delete_module": Numbers(176, 106),
    "kexec_load": Numbers(246, 104),
    "kexec_file_load": Numbers(320, 294),
    "reboot": Numbers(169, 142),
    "swapon": Numbers(167, 224),
    "swapoff": Numbers(168, 225),
    "quotactl": Numbers(179, 60),
    "quotactl_fd": Numbers(443, 443),
    "acct": Numbers(163, 89),
    "syslog": Numbers(103, 116),
    "settimeofday": Numbers(164, 170),
    "clock_settime": Numbers(227, 112),
    "clock_adjtime": Numbers(305, 266),
    "adjtimex": Numbers(159, 171),
    "sethostname": Numbers(170, 161),
    "setdomainname": Numbers(171, 162),
    "vhangup": Numbers(153, 58),
    "iopl": Numbers(172, None),
    "ioperm": Numbers(173, None),
}

BY_PATH = {
    # Landlock does not guard the modes, owners and attributes of the user's other files.
    "chmod": Numbers(90, None),
    "fchmodat": Numbers(268, 53),
    "fchmodat2": Numbers(452, 452),
    "chown": Numbers(92, None),
    "lchown": Numbers(94, None),
    "fchownat": Numbers(260, 54),
    "setxattr": Numbers(188, 5),
    "lsetxattr": Numbers(189, 6),
    "removexattr": Numbers(197, 14),
    "lremovexattr": Numbers(198, 15),
    "setxattrat": Numbers(463, 463),
    "removexattrat": Numbers(466, 466),
    "file_setattr": Numbers(469, 469),
}
"""Denied too where no mount namespace hides the other files."""

SHARED = {
    # What one IPC namespace shares: memory, semaphores and queues of the user's other programs.
    "shmget": Numbers(29, 194),
    "shmat": Numbers(30, 196),
    "shmctl": Numbers(31, 195),
    "semget": Numbers(64, 190),
    "semop": Numbers(65, 193),
    "semtimedop": Numbers(220, 192),
    "semctl": Numbers(66, 191),
    "msgget": Numbers(68, 186),
    "msgsnd": Numbers(69, 189),
    "msgrcv": Numbers(70, 188),
    "msgctl": Numbers(71, 187),
    "mq_open": Numbers(240, 180),
    "mq_unlink": Numbers(241, 181),
    # These name a user's processes in ways that are not only a process number.
    "setpriority": Numbers(141, 140),
    "ioprio_set": Numbers(251, 30),
}
"""Denied too where the user's other programs are in reach."""

ON_OTHERS = {
    "prlimit64": Numbers(302, 261),
    "sched_setparam": Numbers(142, 118),
    "sched_setscheduler": Numbers(144, 119),
    "sched_setaffinity": Numbers(203, 122),
    "sched_setattr": Numbers(314, 274),
    "migrate_pages": Numbers(256, 238),
    "move_pages": Numbers(279, 239),
}
"""Allowed there on the calling process alone, which is number 0."""

CLONE = Numbers(56, 220)
CLONE3 = Numbers(435, 435)
SOCKET = Numbers(41, 198)
IOCTL = Numbers(16, 29)

CLONE_NEW_ANY = 0x7E020000
"""The namespace flags of clone: mount, cgroup, uts, ipc, user, pid, net."""
FAMILIES = (1, 2, 10)
"""AF_UNIX, AF_INET and AF_INET6 reach nothing from an empty network namespace."""
FAKE_INPUT = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX: typing into the terminal that started weft."""
X32_BIT = 0x40000000
"""Set in the numbers of x86-64's second set of calls, which would pass by the list."""

LOAD, JUMP_EQUAL, JUMP_ABOVE, JUMP_ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
AT_NUMBER, AT_ARCH, AT_FIRST, AT_SECOND = 0, 4, 16, 24
ALLOW, KILL, FAIL = 0x7FFF0000, 0x80000000, 0x00050000


def machine() -> Machine:
    """The machine this process runs on. Raises UnsupportedFeature for one without a table."""
    name = platform.machine()
    known: dict[str, Machine] = {"x86_64": "x86_64", "aarch64": "aarch64"}
    if name in known:
        return known[name]
    raise UnsupportedFeature(
        f"There is no table of system calls for the machine {name!r}.",
        remedy="Sandboxes need x86_64 or aarch64.",
    )


def seccomp_filter(on: Machine, *, has_namespaces: bool) -> bytes:
    """The filter for a machine.

    ``has_namespaces`` says that the process has its own empty network, and mounts that show no
    foreign file. Without them it may make no socket, change no file's mode by its path, and not
    touch the user's other processes.
    """
    denied = DENIED if has_namespaces else DENIED | BY_PATH | SHARED
    families = FAMILIES if has_namespaces else ()
    code = [
        _op(LOAD, AT_ARCH),
        _op(JUMP_EQUAL, AUDIT_ARCH[on], 1, 0),
        _op(RETURN, KILL),
        _op(LOAD, AT_NUMBER),
    ]
    if on == "x86_64":
        code += [_op(JUMP_ABOVE, X32_BIT, 0, 1), _fail(errno.EPERM)]
    for numbers in denied.values():
        code += _if_call(numbers, on, [_fail(errno.EPERM)])
    for numbers in () if has_namespaces else ON_OTHERS.values():
        code += _if_call(numbers, on, [_op(LOAD, AT_FIRST), *_only((0,))])
    # Its flags lie in memory, where a filter cannot look; the C library falls back to clone.
    code += _if_call(CLONE3, on, [_fail(errno.ENOSYS)])
    code += _if_call(CLONE, on, [_op(LOAD, AT_FIRST), *_unless_bits(CLONE_NEW_ANY)])
    code += _if_call(SOCKET, on, [_op(LOAD, AT_FIRST), *_only(families)])
    code += _if_call(IOCTL, on, [_op(LOAD, AT_SECOND), *_but(FAKE_INPUT)])
    return b"".join([*code, _op(RETURN, ALLOW)])


def _op(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """One instruction; the jumps count the instructions to skip."""
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _fail(number: int) -> bytes:
    return _op(RETURN, FAIL | number)


def _if_call(numbers: Numbers, on: Machine, then: list[bytes]) -> list[bytes]:
    """``then``, which must end in a return, for one call; nothing where the machine lacks it."""
    number = numbers.x86_64 if on == "x86_64" else numbers.aarch64
    return [] if number is None else [_op(JUMP_EQUAL, number, 0, len(then)), *then]


def _unless_bits(bits: int) -> list[bytes]:
    return [_op(JUMP_ANY_BIT, bits, 0, 1), _fail(errno.EPERM), _op(RETURN, ALLOW)]


def _only(values: tuple[int, ...]) -> list[bytes]:
    allowed = [
        part for value in values for part in (_op(JUMP_EQUAL, value, 0, 1), _op(RETURN, ALLOW))
    ]
    return [*allowed, _fail(errno.EPERM)]


def _but(values: tuple[int, ...]) -> list[bytes]:
    denied = [
        part for value in values for part in (_op(JUMP_EQUAL, value, 0, 1), _fail(errno.EPERM))
    ]
    return [*denied, _op(RETURN, ALLOW)]

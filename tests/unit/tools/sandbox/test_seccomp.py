"""The filter's decisions on both machines, read by a small interpreter of BPF."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable

import pytest

from weft.tools.sandbox.seccomp import (
    AUDIT_ARCH,
    BY_PATH,
    CLONE,
    CLONE3,
    DENIED,
    FAMILIES,
    IOCTL,
    ON_OTHERS,
    SHARED,
    SOCKET,
    Machine,
    seccomp_filter,
)

ALLOWED, KILLED = "allowed", "killed"
MACHINES: list[Machine] = ["x86_64", "aarch64"]
READ = {"x86_64": 0, "aarch64": 63}
JUMPS: dict[int, Callable[[int, int], bool]] = {
    0x15: lambda held, value: held == value,
    0x35: lambda held, value: held >= value,
    0x45: lambda held, value: bool(held & value),
}


def decide(code: bytes, arch: int, number: int, *arguments: int) -> str:
    """What the filter does with a call: ``allowed``, ``killed`` or the name of an error."""
    padded = (*arguments, *[0] * (6 - len(arguments)))
    data = struct.pack("=IIQ6Q", number, arch, 0, *padded)
    at, held = 0, 0
    while True:
        operation, if_true, if_false, value = struct.unpack_from("=HBBI", code, at * 8)
        at += 1
        if operation == 0x20:
            (held,) = struct.unpack_from("=I", data, value)
        elif operation == 0x06:
            return returned(value)
        else:
            at += if_true if JUMPS[operation](held, value) else if_false


def returned(value: int) -> str:
    if value == 0x7FFF0000:
        return ALLOWED
    return KILLED if value == 0x80000000 else errno.errorcode[value & 0xFFFF]


@pytest.mark.parametrize("on", MACHINES)
@pytest.mark.parametrize("has_namespaces", [True, False])
def test_every_listed_call_is_denied_and_no_other(on: Machine, has_namespaces: bool) -> None:
    code, arch = seccomp_filter(on, has_namespaces=has_namespaces), AUDIT_ARCH[on]
    listed = DENIED if has_namespaces else DENIED | BY_PATH | SHARED
    denied = {number for numbers in listed.values() if (number := getattr(numbers, on)) is not None}
    special = {getattr(numbers, on) for numbers in (CLONE3, SOCKET)}
    for number in range(600):
        expected = "EPERM" if number in denied else ALLOWED
        if number not in special:
            assert decide(code, arch, number) == expected, number
    assert decide(code, arch, getattr(CLONE3, on)) == "ENOSYS"


@pytest.mark.parametrize("on", MACHINES)
def test_arguments_decide(on: Machine) -> None:
    code, arch = seccomp_filter(on, has_namespaces=True), AUDIT_ARCH[on]
    clone, socket, ioctl = (getattr(numbers, on) for numbers in (CLONE, SOCKET, IOCTL))
    threads = 0x3D0F00
    assert decide(code, arch, clone, threads) == ALLOWED
    for flag in (0x20000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert decide(code, arch, clone, 17 | flag) == "EPERM"
    for family in range(50):
        expected = ALLOWED if family in FAMILIES else "EPERM"
        assert decide(code, arch, socket, family) == expected
        assert decide(seccomp_filter(on, has_namespaces=False), arch, socket, family) == "EPERM"
    assert decide(code, arch, ioctl, 0, 0x5412) == "EPERM"
    assert decide(code, arch, ioctl, 0, 0x541C) == "EPERM"
    assert decide(code, arch, ioctl, 0, 0x5401) == ALLOWED


@pytest.mark.parametrize("on", MACHINES)
def test_other_processes_are_in_reach_only_with_namespaces(on: Machine) -> None:
    arch = AUDIT_ARCH[on]
    for numbers in ON_OTHERS.values():
        number = getattr(numbers, on)
        for pid, expected in ((0, ALLOWED), (1, "EPERM"), (4321, "EPERM")):
            assert decide(seccomp_filter(on, has_namespaces=True), arch, number, pid) == ALLOWED
            assert decide(seccomp_filter(on, has_namespaces=False), arch, number, pid) == expected


@pytest.mark.parametrize("on", MACHINES)
def test_another_machines_calls_kill(on: Machine) -> None:
    code = seccomp_filter(on, has_namespaces=True)
    i386 = 0x40000003
    for arch in {i386, *AUDIT_ARCH.values()} - {AUDIT_ARCH[on]}:
        assert decide(code, arch, READ[on]) == KILLED


def test_x32_numbers_do_not_pass_by_the_list() -> None:
    code, arch = seccomp_filter("x86_64", has_namespaces=True), AUDIT_ARCH["x86_64"]
    for number in (0, 39, 101, 521):
        assert decide(code, arch, 0x40000000 + number) == "EPERM"


def test_no_number_is_listed_twice() -> None:
    """A slip of the pen in the table would deny a call that programs need."""
    for on in MACHINES:
        numbers = [
            getattr(row, on)
            for row in (
                *(DENIED | BY_PATH | SHARED | ON_OTHERS).values(),
                *(CLONE, CLONE3, SOCKET, IOCTL),
            )
        ]
        known = [number for number in numbers if number is not None]
        assert len(known) == len(set(known))

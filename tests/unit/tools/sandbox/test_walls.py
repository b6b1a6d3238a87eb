"""What sandboxed code cannot reach, tried from inside."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.tools.sandbox.conftest import Opener
from weft.errors import InvalidRequest, SandboxUnavailable
from weft.tools.sandbox import Sandbox, SandboxLevel, SandboxLimits, SandboxReport, SandboxResult

LEVELS = [SandboxLevel.FULL, SandboxLevel.BWRAP, SandboxLevel.LANDLOCK]

CALLS = """
import ctypes, errno, json, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
numbers = json.loads(sys.argv[1])
def tried(number, *arguments):
    ctypes.set_errno(0)
    result = libc.syscall(number, *arguments)
    return errno.errorcode.get(ctypes.get_errno(), "") if result < 0 else "allowed"
def made(family, kind):
    try:
        socket.socket(family, kind).close()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "allowed"
found = {name: tried(*call) for name, call in numbers.items()}
found |= {name: made(*call) for name, call in {
    "netlink": (16, 3), "packet": (17, 3), "alg": (38, 5), "vsock": (40, 1), "bluetooth": (31, 3),
}.items()}
print(json.dumps(found))
"""
X86_CALLS = {
    "io_uring_setup": [425, 8, 0],
    "io_uring_enter": [426, 0, 0, 0, 0, 0],
    "bpf": [321, 0, 0, 0],
    "ptrace": [101, 0, 0, 0, 0],
    "keyctl": [250, 0, -3, 0],
    "add_key": [248, 0, 0, 0, 0, -3],
    "perf_event_open": [298, 0, 0, -1, -1, 0],
    "userfaultfd": [323, 1],
    "unshare_user": [272, 0x10000000],
    "clone_user": [56, 0x10000000 | 17, 0, 0, 0, 0],
    "mount": [165, 0, 0, 0, 0, 0],
    "open_tree": [428, -100, 0, 0],
    "setns": [308, 0, 0],
    "process_vm_readv": [310, 1, 0, 0, 0, 0, 0],
    "x32_getpid": [0x40000000 + 39],
}

OUTSIDE = """
import errno, json, socket, sys
port, name = int(sys.argv[1]), "\\0" + sys.argv[2]
def reached(action):
    try:
        action()
    except OSError as error:
        return errno.errorcode.get(error.errno, "refused")
    return "reached"
def tcp(address):
    with socket.socket() as plain:
        plain.settimeout(0.2)
        plain.connect(address)
def udp(address):
    with socket.socket(type=socket.SOCK_DGRAM) as plain:
        plain.sendto(b"x", address)
def abstract():
    with socket.socket(socket.AF_UNIX) as plain:
        plain.connect(name)
print(json.dumps({
    "tcp": reached(lambda: tcp(("127.0.0.1", port))),
    "far": reached(lambda: tcp(("192.0.2.1", 80))),
    "udp": reached(lambda: udp(("192.0.2.1", 53))),
    "abstract": reached(abstract),
}))
"""


async def run_python(sandbox: Sandbox, code: str, *arguments: str) -> SandboxResult:
    return await sandbox.run(["/usr/bin/python3", "-I", "-S", "-c", code, *arguments])


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the calls are numbered for x86-64")
async def test_dangerous_calls_are_refused(sandbox_at: Opener, level: SandboxLevel) -> None:
    async with sandbox_at(level) as sandbox:
        result = await run_python(sandbox, CALLS, json.dumps(X86_CALLS))
    assert result.stderr == b""
    found = json.loads(result.stdout)
    assert set(found.values()) == {"EPERM"}, found


@pytest.mark.parametrize("level", LEVELS)
async def test_no_network(sandbox_at: Opener, level: SandboxLevel) -> None:
    name = f"weft-test-{os.getpid()}-{level}"
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as local:
        local.bind("\0" + name)
        local.listen()
        async with sandbox_at(level) as sandbox:
            result = await run_python(sandbox, OUTSIDE, str(server.getsockname()[1]), name)
    found = json.loads(result.stdout)
    assert list(found) == ["tcp", "far", "udp", "abstract"]
    assert "reached" not in found.values(), found


@pytest.mark.parametrize("level", LEVELS)
async def test_nothing_of_the_host_is_seen(
    sandbox_at: Opener, level: SandboxLevel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEFT_TEST_SECRET", "sesame")
    (tmp_path / "secret").write_text("sesame")
    (tmp_path / "other").mkdir()
    script = f"""
    env; cat {tmp_path}/secret /etc/shadow /etc/passwd /root/.profile /proc/{os.getpid()}/environ
    ls {tmp_path}; cat /proc/*/environ | tr '\\0' '\\n'; cat /proc/*/cmdline | grep -ac pytest
    touch /usr/x /etc/x /x && echo wrote; true
    """
    async with sandbox_at(level) as sandbox:
        result = await sandbox.run(["sh", "-c", script])
    assert result.exit_code == 0
    names = {line.split(b"=")[0] for line in result.stdout.splitlines() if b"=" in line}
    assert names <= {b"PATH", b"HOME", b"TMPDIR", b"LANG", b"PWD", b"OLDPWD", b"_"}
    for absent in (b"sesame", b"root:", b"other", b"wrote"):
        assert absent not in result.stdout


async def test_the_process_table_is_its_own(sandbox_at: Opener) -> None:
    async with sandbox_at(SandboxLevel.BWRAP) as sandbox:
        result = await sandbox.run(["sh", "-c", "ls /proc | grep -c '^[0-9]'; id -u"])
    num_processes, uid = result.stdout.split()
    assert int(num_processes) <= 5
    assert uid == b"1000"


@pytest.mark.parametrize("level", LEVELS)
async def test_the_workspace_is_kept_and_all_else_forgotten(
    sandbox_at: Opener, level: SandboxLevel, workspace: Path
) -> None:
    (workspace / "given").write_text("from the host")
    async with sandbox_at(level) as sandbox:
        first = await sandbox.run(["sh", "-c", "cat given; echo kept > made; echo lost > /tmp/x"])
        second = await sandbox.run(["sh", "-c", "cat made; cat /tmp/x"])
    assert first.stdout == b"from the host"
    assert second.stdout == b"kept\n"
    assert (workspace / "made").read_text() == "kept\n"


@pytest.mark.parametrize("level", LEVELS)
async def test_input_environment_and_codes_pass(sandbox_at: Opener, level: SandboxLevel) -> None:
    text = os.urandom(300_000)
    async with sandbox_at(level) as sandbox:
        echoed = await sandbox.run(["cat"], stdin=text)
        named = await sandbox.run(["sh", "-c", 'echo "$NAME" >&2; exit 7'], env={"NAME": "a b\n"})
        killed = await sandbox.run(["sh", "-c", "kill -9 $$"])
        missing = await sandbox.run(["no-such-program"])
        unread = await sandbox.run(["true"], stdin=text)
    assert echoed.stdout == text
    assert (echoed.exit_code, echoed.limit, echoed.advice) == (0, None, "")
    assert (named.exit_code, named.stderr) == (7, b"a b\n\n")
    assert (killed.exit_code, killed.signal) == (None, 9)
    assert missing.exit_code == 127
    assert missing.stderr == b"no-such-program: No such file or directory\n"
    assert unread.exit_code == 0


async def test_a_library_in_the_environment_is_not_loaded_outside(
    sandbox_at: Opener, workspace: Path
) -> None:
    """bubblewrap runs before the walls stand, so what the caller sets must not reach it."""
    async with sandbox_at() as sandbox:
        result = await sandbox.run(["true"], env={"LD_PRELOAD": "/ws/none.so"})
    assert result.stderr.count(b"LD_PRELOAD") == 1, "once, from the command itself"


async def test_refusals(report: SandboxReport, workspace: Path, sandbox_at: Opener) -> None:
    limits = SandboxLimits()
    none = report.lowered(SandboxLevel.NONE)
    with pytest.raises(SandboxUnavailable, match="cannot confine"):
        async with Sandbox.open(none, workspace, limits):
            raise AssertionError("it opened")
    if report.level > SandboxLevel.NONE:
        link = workspace / "link"
        link.symlink_to("/etc")
        for place in (link, Path("relative"), workspace / "missing"):
            with pytest.raises(InvalidRequest, match="workspace"):
                async with Sandbox.open(report, place, limits):
                    raise AssertionError("it opened")
    async with sandbox_at(SandboxLevel.LANDLOCK) as sandbox:
        for argv, env in (([], {}), (["a\0b"], {}), (["true"], {"A=B": "c"})):
            with pytest.raises(InvalidRequest):
                await sandbox.run(argv, env=env)
    with pytest.raises(SandboxUnavailable, match="closed"):
        await sandbox.run(["true"])


async def test_a_wrapper_that_fails_is_no_result(report: SandboxReport, workspace: Path) -> None:
    """A level that was probed and is gone since refuses; it never falls to a weaker one."""
    if report.level < SandboxLevel.BWRAP:
        pytest.skip("bubblewrap does not work here")
    broken = replace(report, bwrap="/usr/bin/no-such-bwrap")
    async with Sandbox.open(broken, workspace, SandboxLimits()) as sandbox:
        with pytest.raises(SandboxUnavailable, match="No such file"):
            await sandbox.run(["touch", "made"])
    assert list(workspace.iterdir()) == []


async def test_landlock_keeps_modes_of_files(sandbox_at: Opener) -> None:
    """Where nothing hides the user's other files, no mode is changed by path at all."""
    async with sandbox_at(SandboxLevel.LANDLOCK) as sandbox:
        result = await sandbox.run(["sh", "-c", "echo x > made; chmod 777 made"])
    assert b"not permitted" in result.stderr

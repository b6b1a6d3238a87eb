"""Finding out, by trying, how strongly this machine can confine a command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from weft.errors import UnsupportedFeature
from weft.tools.sandbox.cgroups import find_cgroups, sweep_stale
from weft.tools.sandbox.frames import PREFIX_BYTES, pack, unpack_sizes
from weft.tools.sandbox.limits import SandboxLimits
from weft.tools.sandbox.owner import hand_over, session_uid
from weft.tools.sandbox.report import SandboxLevel, SandboxReport
from weft.tools.sandbox.seccomp import machine
from weft.tools.sandbox.session import hello, launcher_command
from weft.tools.sandbox.wrapping import wrap

__all__ = ["probe"]

TRY_S = 5.0
SCOPED_LANDLOCK = 6
"""The first version that keeps signals in; root's commands run as a user without processes."""


def probe() -> SandboxReport:
    """Try each level, the strongest first, with a command that does nothing.

    Blocks for some tens of milliseconds. Also removes the cgroups of launchers that were killed.
    """
    try:
        machine()
    except UnsupportedFeature as error:
        return SandboxReport(level=SandboxLevel.NONE, reasons=(str(error),))
    reasons: list[str] = []
    for candidate in _candidates(reasons):
        problem = _problem(candidate)
        if not problem:
            return SandboxReport(
                level=candidate.level,
                reasons=tuple(reasons),
                bwrap=candidate.bwrap,
                cgroups=candidate.cgroups,
            )
        reasons.append(f"{candidate.level.name.lower()}: {problem}.")
    return SandboxReport(level=SandboxLevel.NONE, reasons=tuple(reasons))


def _candidates(reasons: list[str]) -> Iterator[SandboxReport]:
    """The levels that are worth a try; why the others are not goes to ``reasons``."""
    if bwrap := shutil.which("bwrap"):
        groups = find_cgroups()
        for cgroups in groups:
            sweep_stale(cgroups)
            yield SandboxReport(level=SandboxLevel.FULL, bwrap=bwrap, cgroups=cgroups)
        if not groups:
            reasons.append("full: no cgroup here gives out memory, pids and cpu.")
        yield SandboxReport(level=SandboxLevel.BWRAP, bwrap=bwrap)
    else:
        reasons.append("full, bwrap: bubblewrap is not installed.")
    yield SandboxReport(level=SandboxLevel.LANDLOCK)


def _problem(candidate: SandboxReport) -> str:
    """Why a level does not work here; empty where it does."""
    with tempfile.TemporaryDirectory(prefix="weft-probe-") as folder:
        workspace = Path(folder)
        uid = session_uid(workspace)
        if uid is not None:
            hand_over(workspace, uid)
        with subprocess.Popen(
            launcher_command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as process:
            try:
                return _tried(process, candidate, workspace, uid)
            except (OSError, ValueError) as error:
                return f"the launcher failed ({error})"
            finally:
                _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(TRY_S)
    except subprocess.TimeoutExpired:
        process.kill()


def _tried(
    process: subprocess.Popen[bytes], candidate: SandboxReport, workspace: Path, uid: int | None
) -> str:
    seen, _ = _ask(process, hello(workspace, uid))
    if candidate.level == SandboxLevel.LANDLOCK:
        if seen["landlock"] < (1 if uid is not None else SCOPED_LANDLOCK):
            return f"the kernel's Landlock has version {seen['landlock']}"
    task = wrap(candidate, seen["workspace"], ["true"], {}, SandboxLimits(wall_s=TRY_S))
    head, body = _ask(process, pack(task.head, task.body))
    if "error" in head:
        return str(head["error"])
    if os.waitstatus_to_exitcode(head["status"]):
        return body.decode(errors="replace").strip() or "the command failed"
    return ""


def _ask(process: subprocess.Popen[bytes], request: bytes) -> tuple[dict[str, Any], bytes]:
    sink, source = process.stdin, process.stdout
    assert sink is not None and source is not None
    sink.write(request)
    sink.flush()
    prefix = source.read(PREFIX_BYTES)
    if len(prefix) < PREFIX_BYTES:
        raise ValueError("it ended")
    head_bytes, body_bytes = unpack_sizes(prefix)
    head: dict[str, Any] = json.loads(source.read(head_bytes))
    return head, source.read(body_bytes)

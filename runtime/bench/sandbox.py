"""``weft bench sandbox``: what confining a command costs, and what workspaces save."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import statistics
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from weft.runtime.bench.findings import Findings
from weft.runtime.bench.options import BenchOptions
from weft.tools.sandbox import Sandbox, SandboxLevel, SandboxLimits, SandboxReport, probe
from weft.tools.sandbox.usage import children
from weft.tools.workspace import Workspace, Workspaces

__all__ = ["bench_sandbox", "disk_bytes", "measure_calls", "measure_workspaces"]

PYTHON = ("/usr/bin/python3", "-I", "-S", "-c", "pass")
CALLS_PER_ROUND, FORKS_PER_ROUND = 10, 10
NUM_FILES, FILE_BYTES, NUM_CHANGED = 2000, 2000, 5
NUM_WORKSPACES = 64


def bench_sandbox(options: BenchOptions) -> Findings:
    """The processor time of a call, the time of a fork, and the disk under 64 workspaces.

    ``python_call_cpu_ms`` is the whole call of an interpreter that does nothing, in a sandbox that
    is open: the caller's, the launcher's and the command's processor time.
    ``plain_python_cpu_ms`` is the same without a sandbox, called in turns, and
    ``python_overhead_cpu_ms`` what one call took more than the plain one beside it.
    ``workspace_fork_ms`` is the time of a fork of a workspace that was written to,
    ``workspace_copy_ms`` that of copying it; ``workspaces_disk_share`` what 64 forks with changes
    of their own take of what copies would.
    """
    findings = Findings()
    with TemporaryDirectory(prefix="weft-bench-") as folder:
        options.say("sandbox: calls")
        asyncio.run(measure_calls(findings, probe(), Path(folder), options))
        options.say("sandbox: workspaces")
        measure_workspaces(findings, Path(folder) / "workspaces", options)
    return findings


async def measure_calls(
    findings: Findings, report: SandboxReport, folder: Path, options: BenchOptions
) -> None:
    """Sandboxed and plain calls in turns, as many for a figure as rounds times ten."""
    if report.level < SandboxLevel.FULL:
        findings.missing.append(f"the full sandbox: {' '.join(report.reasons)}")
        return
    place = folder / "calls"
    place.mkdir()
    taken: dict[str, list[float]] = {"python_call": [], "plain_python": []}
    async with Sandbox.open(report, place, SandboxLimits()) as sandbox:
        await sandbox.run(PYTHON)  # to warm up
        (launcher,) = _launchers()
        for number in range(options.rounds * CALLS_PER_ROUND):
            for name in sorted(taken, reverse=bool(number % 2)):
                is_plain = name == "plain_python"
                call = _plain_call() if is_plain else _call(sandbox, launcher)
                taken[name].append(await call)
    pairs = zip(taken["python_call"], taken["plain_python"], strict=True)
    taken["python_overhead"] = [call - plain for call, plain in pairs]
    for name, values in taken.items():
        _note(findings, f"{name}_cpu_ms", values, level=report.level.name.lower())


async def _call(sandbox: Sandbox, launcher: int) -> float:
    """Milliseconds of processor time of this process, the launcher, and the command's cgroup."""
    before = time.process_time() + _seconds_of(launcher)
    result = await sandbox.run(PYTHON)
    assert result.exit_code == 0, result.stderr
    return 1e3 * (time.process_time() + _seconds_of(launcher) - before + result.cpu_s)


async def _plain_call() -> float:
    before = time.process_time() + _seconds_of_children()
    process = await asyncio.create_subprocess_exec(*PYTHON)
    assert await process.wait() == 0
    return 1e3 * (time.process_time() + _seconds_of_children() - before)


def _seconds_of(pid: int) -> float:
    """The processor time of a process with one thread, to the nanosecond."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def _seconds_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _launchers() -> list[int]:
    """The launchers that this process started."""
    mine = children(os.getpid())
    return [one for one in mine if b"boot.py" in Path(f"/proc/{one}/cmdline").read_bytes()]


def measure_workspaces(
    findings: Findings,
    root: Path,
    options: BenchOptions,
    *,
    num_files: int = NUM_FILES,
) -> None:
    """Copies and forks of one workspace in every round, then the disk under many forks."""
    rng = random.Random(options.seed)
    with _both(root) as (overlays, copies):
        if overlays.reason:
            findings.missing.append(f"workspaces on overlayfs: {overlays.reason}")
            return
        project = root / "project"
        _write_files(project, num_files, rng)
        shared = {"fork": overlays, "copy": copies}
        bases = {name: made.create([made.share(project)]) for name, made in shared.items()}

        taken: dict[str, list[float]] = {name: [] for name in bases}
        for number in range(options.rounds):
            # Copies keep the disk busy for long, so forks are not timed between one and the next.
            for name, num_forks in (("copy", 1), ("fork", FORKS_PER_ROUND)):
                taken[name] += [_time_fork(bases[name], number) for _ in range(num_forks)]
        for name, values in taken.items():
            _note(findings, f"workspace_{name}_ms", values, num_files=num_files)
        before = _num_used(root)
        forks = [_changed(bases["fork"].fork(), rng, num_files) for _ in range(NUM_WORKSPACES)]
        grown = _num_used(root) - before
        whole = disk_bytes([bases["copy"].path])
        share = (whole + grown) / (len(forks) * whole)
        findings.note("workspaces_disk_share", share, num_rounds=1, num_asked=1)
        findings.rows.append(
            {"what": "workspaces_disk", "forks": whole + grown, "copies": len(forks) * whole}
        )


@contextmanager
def _both(root: Path) -> Generator[tuple[Workspaces, Workspaces]]:
    with Workspaces.open(root / "overlays") as overlays:
        with Workspaces.open(root / "copies", uses_overlays=False) as copies:
            yield overlays, copies


def _write_files(folder: Path, num_files: int, rng: random.Random) -> None:
    for number in range(num_files):
        path = folder / str(number % 20) / f"{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.randbytes(FILE_BYTES))


def _time_fork(workspace: Workspace, number: int) -> float:
    """Milliseconds of a fork of a workspace that was just written to."""
    (workspace.path / "changed").write_text(str(number))
    began = time.perf_counter()
    fork = workspace.fork()
    taken = 1e3 * (time.perf_counter() - began)
    fork.discard()
    return taken


def _changed(workspace: Workspace, rng: random.Random, num_files: int) -> Workspace:
    """A workspace in which some files of its own were written over, and one was made."""
    for number in rng.sample(range(num_files), NUM_CHANGED):
        path = workspace.path / str(number % 20) / f"{number}.py"
        path.write_bytes(rng.randbytes(FILE_BYTES))
    (workspace.path / "result").write_bytes(rng.randbytes(FILE_BYTES))
    return workspace


def _num_used(root: Path) -> int:
    """What the disk holds under the overlays: all but what is shown of it."""
    (own,) = [path for path in (root / "overlays" / "own").iterdir() if path.is_dir()]
    return disk_bytes([path for path in own.iterdir() if not (path / "m").exists()])


def disk_bytes(folders: Sequence[Path]) -> int:
    """What folders take on the disk; a file with several names counts once."""
    found: dict[int, int] = {}
    for folder in folders:
        for place, _, files in os.walk(folder):
            for path in (Path(place), *(Path(place) / name for name in files)):
                state = path.lstat()
                found[state.st_ino] = state.st_blocks * 512
    return sum(found.values())


def _note(findings: Findings, name: str, values: list[float], **facts: str | int) -> None:
    findings.note(name, statistics.median(values), num_rounds=len(values), num_asked=len(values))
    findings.rows.append(
        {
            "what": name,
            **facts,
            "num_rounds": len(values),
            "median": statistics.median(values),
            "lowest": min(values),
            "highest": max(values),
        }
    )

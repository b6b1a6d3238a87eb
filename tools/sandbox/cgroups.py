"""Where cgroups of calls go, and which files hold their limits: versions 1 and 2.

What a call's cgroup is to hold is worked out here as data; the launcher makes it, knowing nothing
of versions.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from weft.tools.sandbox.limits import SandboxLimits

__all__ = ["CgroupUsage", "Cgroups", "find_cgroups", "sweep_stale"]

PERIOD_US = 100_000
OWN_PROCESSES = 2
"""Of bubblewrap itself: one that waits, one that is the first of the process namespace."""
V1_CONTROLLERS = ("memory", "pids", "cpu", "cpuacct")
V2_CONTROLLERS = ("memory", "pids", "cpu")


class CgroupUsage(NamedTuple):
    """What a call's cgroup counted. None where the kernel does not say."""

    peak_memory_bytes: int | None
    cpu_s: float | None
    num_oom_kills: int
    num_refused_forks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cgroups:
    """The hierarchies that take the cgroups of calls."""

    version: Literal[1, 2]
    bases: tuple[str, ...]
    """Folders, one per hierarchy, in which a call's cgroup is made."""
    homes: tuple[tuple[str, int], ...]
    """Each controller with the index of its hierarchy."""

    def plan(self, limits: SandboxLimits, *, pauses: bool = False) -> dict[str, Any]:
        """What the launcher writes before a call and reads after it.

        With ``pauses`` a call is stopped at its memory limit and not killed; version 2 kills.
        """
        plan: dict[str, Any] = {
            "bases": self.bases,
            "join": "tasks" if self.version == 1 else "cgroup.procs",
            "settings": self._v1(limits) if self.version == 1 else _v2(limits),
            "readings": self._readings(),
            "pausing": None,
        }
        if pauses and self.version == 1:
            plan["pausing"] = dict(self.homes)["memory"]
            plan["settings"].append((plan["pausing"], "memory.oom_control", "1", True))
        return plan

    def _v1(self, limits: SandboxLimits) -> list[tuple[int, str, str, bool]]:
        home = dict(self.homes)
        memory = str(limits.memory_bytes)
        return [
            (home["memory"], "memory.limit_in_bytes", memory, True),
            (home["memory"], "memory.memsw.limit_in_bytes", memory, False),
            (home["pids"], "pids.max", str(limits.max_processes + OWN_PROCESSES), True),
            (home["cpu"], "cpu.cfs_period_us", str(PERIOD_US), True),
            (home["cpu"], "cpu.cfs_quota_us", str(_quota_us(limits)), True),
        ]

    def _readings(self) -> dict[str, tuple[int, str]]:
        if self.version == 2:
            names = {"peak": "memory.peak", "oom": "memory.events", "cpu": "cpu.stat"}
            return {key: (0, name) for key, name in (names | {"pids": "pids.events"}).items()}
        home = dict(self.homes)
        return {
            "peak": (home["memory"], "memory.max_usage_in_bytes"),
            "oom": (home["memory"], "memory.oom_control"),
            "pids": (home["pids"], "pids.events"),
            "cpu": (home["cpuacct"], "cpuacct.usage"),
        }

    def usage(self, readings: dict[str, str]) -> CgroupUsage:
        """What the texts that the launcher read mean."""
        peak, cpu = readings.get("peak"), readings.get("cpu")
        cpu_s = None
        if cpu is not None:
            cpu_s = int(cpu) / 1e9 if self.version == 1 else _field(cpu, "usage_usec") / 1e6
        return CgroupUsage(
            peak_memory_bytes=None if peak is None else int(peak),
            cpu_s=cpu_s,
            num_oom_kills=_field(readings.get("oom", ""), "oom_kill"),
            num_refused_forks=_field(readings.get("pids", ""), "max"),
        )


def _v2(limits: SandboxLimits) -> list[tuple[int, str, str, bool]]:
    return [
        (0, "memory.max", str(limits.memory_bytes), True),
        (0, "memory.swap.max", "0", False),
        (0, "pids.max", str(limits.max_processes + OWN_PROCESSES), True),
        (0, "cpu.max", f"{_quota_us(limits)} {PERIOD_US}", True),
    ]


def _quota_us(limits: SandboxLimits) -> int:
    return max(1000, int(limits.cpus * PERIOD_US))


def _field(text: str, name: str) -> int:
    """A number from lines of ``name number``; 0 where it is not there."""
    rows = (line.split() for line in text.splitlines())
    return next((int(row[1]) for row in rows if len(row) == 2 and row[0] == name), 0)


def find_cgroups(root: Path = Path("/")) -> tuple[Cgroups, ...]:
    """The hierarchies that could take cgroups, the likeliest first; the caller must try them.

    ``root`` is where /proc and /sys lie. May switch on controllers for the folders in question.
    """
    mounts = [line.split() for line in (root / "proc/mounts").read_text().splitlines()]
    v1 = {
        option: mount[1]
        for mount in mounts
        if mount[2] == "cgroup"
        for option in mount[3].split(",")
        if option in V1_CONTROLLERS
    }
    found: list[Cgroups] = []
    if len(v1) == len(V1_CONTROLLERS):
        bases = tuple(sorted(set(v1.values())))
        homes = tuple((name, bases.index(path)) for name, path in sorted(v1.items()))
        found.append(Cgroups(version=1, bases=bases, homes=homes))
    for base in _v2_bases(root, [mount[1] for mount in mounts if mount[2] == "cgroup2"]):
        homes = tuple((name, 0) for name in V2_CONTROLLERS)
        found.append(Cgroups(version=2, bases=(str(base),), homes=homes))
    return tuple(found)


def _v2_bases(root: Path, points: list[str]) -> list[Path]:
    """This process's own cgroup and the one above it, where they give out all controllers.

    A cgroup with processes of its own gives out none, so it is mostly the one above.
    """
    lines = (root / "proc/self/cgroup").read_text().splitlines()
    own = next((line[3:] for line in lines if line.startswith("0::")), None)
    if own is None or not points:
        return []
    top = root / points[0].lstrip("/")
    folder = top / own.lstrip("/")
    candidates = [folder] if folder == top else [folder, folder.parent]
    return [candidate for candidate in candidates if _gives_controllers(candidate)]


def _gives_controllers(folder: Path) -> bool:
    switch = folder / "cgroup.subtree_control"
    with suppress(OSError):
        missing = set(V2_CONTROLLERS) - set(switch.read_text().split())
        if missing:
            switch.write_text(" ".join(f"+{name}" for name in sorted(missing)))
        return set(V2_CONTROLLERS) <= set(switch.read_text().split())
    return False


def sweep_stale(cgroups: Cgroups) -> int:
    """Remove cgroups whose launcher was itself killed; says how many. One in use stays."""
    num_removed = 0
    for base in cgroups.bases:
        for folder in Path(base).glob("weft-*-*"):
            if not os.path.exists(f"/proc/{folder.name.split('-')[1]}"):
                with suppress(OSError):
                    folder.rmdir()
                    num_removed += 1
    return num_removed

"""Cgroups of both versions: found in a made-up tree, planned, read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from weft.tools.sandbox import SandboxLimits
from weft.tools.sandbox.cgroups import Cgroups, find_cgroups, sweep_stale
from weft.tools.sandbox.group import CallGroup

MIB = 1 << 20
LIMITS = SandboxLimits(memory_bytes=64 * MIB, cpus=0.5, max_processes=10)
ALL = "cpu memory pids"
V1 = Cgroups(
    version=1,
    bases=("/cg/cpu,cpuacct", "/cg/memory", "/cg/pids"),
    homes=(("cpu", 0), ("cpuacct", 0), ("memory", 1), ("pids", 2)),
)
V2 = Cgroups(version=2, bases=("/cg",), homes=(("memory", 0), ("pids", 0), ("cpu", 0)))


def tree(root: Path, mounts: str, own: str, controls: dict[str, str]) -> Path:
    """A root folder with /proc and the cgroups that give out some controllers."""
    (root / "proc" / "self").mkdir(parents=True)
    (root / "proc" / "mounts").write_text(mounts)
    (root / "proc" / "self" / "cgroup").write_text(own)
    for name, given in controls.items():
        folder = root / "sys/fs/cgroup" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cgroup.subtree_control").write_text(given)
    return root


def test_version_2_takes_the_nearest_cgroup_that_gives_controllers(tmp_path: Path) -> None:
    mounts = "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n"
    folders = {"user": ALL, "user/session": ALL}
    (found, above) = find_cgroups(tree(tmp_path, mounts, "0::/user/session\n", folders))
    assert found.version == 2
    assert found.bases == (str(tmp_path / "sys/fs/cgroup/user/session"),)
    assert above.bases == (str(tmp_path / "sys/fs/cgroup/user"),)


def test_version_2_without_controllers_is_none(tmp_path: Path) -> None:
    mounts = "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n"
    assert find_cgroups(tree(tmp_path, mounts, "0::/lost\n", {})) == ()


def test_version_1_needs_every_controller(tmp_path: Path) -> None:
    mounts = (
        "cgroup /cg/memory cgroup rw,memory 0 0\ncgroup /cg/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n"
    )
    assert find_cgroups(tree(tmp_path / "a", mounts, "1:memory:/\n", {})) == ()
    mounts += "cgroup /cg/pids cgroup rw,pids 0 0\n"
    assert find_cgroups(tree(tmp_path / "b", mounts, "1:memory:/\n", {})) == (V1,)


@pytest.mark.parametrize(
    ("cgroups", "expected"),
    [
        (
            V1,
            {
                "/cg/memory/memory.limit_in_bytes": str(64 * MIB),
                "/cg/memory/memory.memsw.limit_in_bytes": str(64 * MIB),
                "/cg/pids/pids.max": "12",
                "/cg/cpu,cpuacct/cpu.cfs_period_us": "100000",
                "/cg/cpu,cpuacct/cpu.cfs_quota_us": "50000",
            },
        ),
        (
            V2,
            {
                "/cg/memory.max": str(64 * MIB),
                "/cg/memory.swap.max": "0",
                "/cg/pids.max": "12",
                "/cg/cpu.max": "50000 100000",
            },
        ),
    ],
)
def test_plans(cgroups: Cgroups, expected: dict[str, str]) -> None:
    plan = cgroups.plan(LIMITS)
    written = {f"{cgroups.bases[row[0]]}/{row[1]}": row[2] for row in plan["settings"]}
    assert written == expected
    assert plan["join"] == ("tasks" if cgroups.version == 1 else "cgroup.procs")


def test_only_version_1_lets_a_call_wait_at_its_limit() -> None:
    waits = V1.plan(LIMITS, pauses=True)
    assert waits["pausing"] == 1
    assert (1, "memory.oom_control", "1", True) in waits["settings"]
    for plan in (V1.plan(LIMITS), V2.plan(LIMITS), V2.plan(LIMITS, pauses=True)):
        assert plan["pausing"] is None
        assert not [row for row in plan["settings"] if "oom" in row[1]]


def test_readings() -> None:
    one = V1.usage(
        {
            "peak": "4096\n",
            "cpu": "2500000000\n",
            "oom": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
            "pids": "max 3\n",
        }
    )
    two = V2.usage(
        {
            "peak": "4096\n",
            "cpu": "usage_usec 2500000\nuser_usec 1\n",
            "oom": "low 0\nhigh 0\nmax 9\noom 1\noom_kill 2\noom_group_kill 0\n",
            "pids": "max 3\n",
        }
    )
    assert one == two == (4096, 2.5, 2, 3)
    assert V2.usage({}) == (None, None, 0, 0)


def test_a_group_that_lacks_a_needed_file_is_refused(tmp_path: Path) -> None:
    """Written into plain folders, where no limit can be: the call must not go on without."""
    plan: dict[str, Any] = {"bases": [str(tmp_path)], "join": "tasks", "readings": {}}
    optional = CallGroup({**plan, "settings": [(0, "memory.swap.max", "0", False)]}, 1)
    optional.create()
    optional.remove()
    needed = CallGroup({**plan, "settings": [(0, "memory.max", "1", True)]}, 2)
    with pytest.raises(FileNotFoundError):
        needed.create()
    needed.remove()
    assert list(tmp_path.iterdir()) == []


def test_stale_groups_are_swept_and_live_ones_kept(tmp_path: Path) -> None:
    gone = 1 << 30
    for name in (f"weft-{gone}-1", f"weft-{gone}-2", f"weft-{os.getpid()}-1", "other"):
        (tmp_path / name).mkdir()
    cgroups = Cgroups(version=2, bases=(str(tmp_path),), homes=())
    assert sweep_stale(cgroups) == 2
    assert {path.name for path in tmp_path.iterdir()} == {f"weft-{os.getpid()}-1", "other"}

"""What killed processes leave is removed by the next one, and nothing of those that live."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.unit.tools.workspace.conftest import KINDS, mounts
from weft.tools.workspace import Workspaces
from weft.tools.workspace.owner import locked, own_folder, sweep

HOLD = textwrap.dedent("""
    import sys
    from pathlib import Path
    from weft.tools.workspace import Workspaces
    with Workspaces.open(Path(sys.argv[1]), uses_overlays=sys.argv[2] == "overlays") as workspaces:
        workspace = workspaces.create()
        (workspace.path / "x").write_text("x")
        fork = workspace.fork()
        print(len(workspaces.reason), flush=True)
        sys.stdin.read()
""")


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_owner_leaves_nothing_for_long(root: Path, kind: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, root, kind],
        env={"PYTHONPATH": ":".join(path for path in sys.path if path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as owner:
        assert owner.stdout is not None
        is_overlay = owner.stdout.readline() == b"0\n"
        assert len(mounts(root)) == (2 if is_overlay else 0)
        held = sorted((root / "own").iterdir())
        with Workspaces.open(root):
            assert set(held) <= set((root / "own").iterdir()), "its owner lives"
        owner.send_signal(signal.SIGKILL)
    assert sorted((root / "own").iterdir()) == held
    with Workspaces.open(root):
        assert not set(held) & set((root / "own").iterdir())
    assert (mounts(root), list((root / "own").iterdir())) == ([], [])


def test_the_living_are_not_swept(tmp_path: Path) -> None:
    with own_folder(tmp_path) as folder:
        (folder / "x").touch()
        assert sweep(tmp_path) == 0
        assert (folder / "x").exists()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "dead").mkdir()
    (tmp_path / "dead" / "x").touch()
    (tmp_path / "dead.lock").touch()
    (tmp_path / "unlocked").mkdir()
    assert sweep(tmp_path) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["unlocked"]


def test_a_lock_is_held_once(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locked(path) as first, locked(path) as second:
        assert (first, second) == (True, False)
    with locked(path) as third:
        assert third

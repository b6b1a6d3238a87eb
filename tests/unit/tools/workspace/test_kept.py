"""Named workspaces: found again as they were committed, whenever their process was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.unit.tools.workspace.conftest import KINDS, mounts, seen
from weft.errors import InvalidRequest, JournalCorrupt
from weft.tools.workspace import Workspaces

CALLS = ("rename", "fsync", "mkdir", "unlink", "rmdir")
RUN = textwrap.dedent("""
    import os, signal, sys
    from pathlib import Path
    from weft.tools.workspace import Workspaces
    root, uses_overlays, fatal = Path(sys.argv[1]), sys.argv[2] == "overlays", int(sys.argv[3])
    num_calls = 0
    def counted(call):
        def made(*arguments, **options):
            global num_calls
            num_calls += 1
            if num_calls == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)
        return made
    with Workspaces.open(root, uses_overlays=uses_overlays) as workspaces:
        workspace = workspaces.create(name="w")
        (workspace.path / "a").write_text("new")
        (workspace.path / "old").unlink()
        for name in sys.argv[4].split(","):
            setattr(os, name, counted(getattr(os, name)))
        workspace.commit("second")
        print(num_calls, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
""")


@pytest.fixture(params=KINDS)
def is_overlay(request: pytest.FixtureRequest, root: Path) -> bool:
    if request.param == "overlays":
        with Workspaces.open(root) as workspaces:
            if workspaces.reason:
                pytest.skip(workspaces.reason)
    return bool(request.param == "overlays")


def run(root: Path, kind: bool, fatal: int) -> str:
    """Commit in a process that is killed at its ``fatal``-th call; says how many there were."""
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", RUN, root, "overlays" if kind else "-", str(fatal), ",".join(CALLS)],
        env=os.environ | {"PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    return done.stdout


def begin(root: Path, is_overlay: bool) -> None:
    with Workspaces.open(root, uses_overlays=is_overlay) as workspaces:
        workspace = workspaces.create(name="w")
        assert (workspace.key, seen(workspace.path)) == ("", {})
        (workspace.path / "a").write_text("old")
        (workspace.path / "old").write_text("x")
        workspace.commit("first")
        (workspace.path / "lost").write_text("not committed")


def found(root: Path, is_overlay: bool) -> tuple[str, dict[str, str]]:
    with Workspaces.open(root, uses_overlays=is_overlay) as workspaces:
        workspace = workspaces.create(name="w")
        return workspace.key, seen(workspace.path)


OLD = ("first", {"a": "old", "old": "x"})
NEW = ("second", {"a": "new"})


def test_a_name_finds_the_last_commit(root: Path, is_overlay: bool, base: Path) -> None:
    begin(root, is_overlay)
    assert found(root, is_overlay) == OLD
    with Workspaces.open(root, uses_overlays=is_overlay) as workspaces:
        workspace = workspaces.create(name="w")
        for number in range(5):
            with workspace.fork() as fork:
                (fork.path / "a").write_text(str(number))
                fork.commit()
            workspace.commit(str(number))
        assert len([path for path in (root / "kept" / "w").iterdir() if path.is_dir()]) == 1
        with pytest.raises(InvalidRequest, match="in use"):
            workspaces.create(name="w")
        workspace.discard()
        assert workspaces.create(name="w").key == "4"
        with pytest.raises(InvalidRequest, match="in use"):
            with Workspaces.open(root, uses_overlays=is_overlay) as others:
                others.create(name="w")
    assert found(root, is_overlay) == ("4", {"a": "4", "old": "x"})


def test_layers_are_under_the_last_commit(root: Path, is_overlay: bool, base: Path) -> None:
    for _ in range(2):
        with Workspaces.open(root, uses_overlays=is_overlay) as workspaces:
            workspace = workspaces.create([workspaces.share(base)], name="w")
            (workspace.path / "top").unlink(missing_ok=True)
            (workspace.path / "made").write_text("x")
            workspace.commit()
            expected = seen(base) | {"made": "x"}
            del expected["top"]
            assert seen(workspace.path) == expected


@pytest.mark.slow
def test_killed_at_any_call_one_of_the_two_commits_is_found(
    tmp_path: Path, is_overlay: bool
) -> None:
    root = tmp_path / "whole"
    begin(root, is_overlay)
    num_calls = int(run(root, is_overlay, -1))
    assert found(root, is_overlay) == NEW
    outcomes: list[tuple[str, dict[str, str]]] = []
    for fatal in range(1, num_calls + 1):
        root = tmp_path / str(fatal)
        begin(root, is_overlay)
        assert run(root, is_overlay, fatal) == ""
        outcomes.append(found(root, is_overlay))
        assert mounts(root) == []
        assert len(list((root / "kept" / "w").iterdir())) == 2, "the content and its state"
    assert all(outcome in (OLD, NEW) for outcome in outcomes)
    is_new = [outcome == NEW for outcome in outcomes]
    assert is_new == sorted(is_new), "once done, it stays done"


def test_a_layer_cannot_become_a_copy(root: Path, is_overlay: bool) -> None:
    if not is_overlay:
        pytest.skip("needs a commit of an overlay")
    begin(root, is_overlay)
    with pytest.raises(InvalidRequest, match="layer of an overlay"):
        found(root, False)
    assert found(root, True) == OLD


def test_a_damaged_state_is_told(root: Path) -> None:
    begin(root, False)
    (root / "kept" / "w" / "state.json").write_text("{")
    with pytest.raises(JournalCorrupt, match="cannot be what was written"):
        found(root, False)

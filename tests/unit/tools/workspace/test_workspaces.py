"""Forks, commits and discards, on overlays and on copies alike."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from tests.unit.tools.workspace.conftest import mounts, seen
from weft.errors import InvalidRequest
from weft.tools.workspace import Workspace, Workspaces
from weft.tools.workspace.overlay import MAX_LAYERS


def test_workspaces_begin_with_what_is_shared(workspaces: Workspaces, base: Path) -> None:
    shared = workspaces.share(base)
    one, two = workspaces.create([shared]), workspaces.create([shared])
    assert seen(one.path) == seen(two.path) == seen(base)
    assert (one.path / "run").stat().st_mode & 0o777 == 0o755
    (one.path / "top").write_text("mine")
    (one.path / "a" / "b" / "deep").unlink()
    shutil.rmtree(one.path / "a")
    assert seen(two.path) == seen(base)
    (base / "top").write_text("later")
    assert (workspaces.create([shared]).path / "top").read_text() == "top"
    assert seen(workspaces.create().path) == {}


def test_the_first_layer_is_on_top(workspaces: Workspaces, base: Path, tmp_path: Path) -> None:
    above = tmp_path / "above"
    (above / "a").mkdir(parents=True)
    (above / "top").write_text("above")
    (above / "a" / "new").write_text("new")
    workspace = workspaces.create([workspaces.share(above), workspaces.share(base)])
    assert seen(workspace.path) == seen(base) | {"top": "above", "a/new": "new"}


def test_a_fork_reaches_its_parent_by_commit_alone(workspaces: Workspaces, base: Path) -> None:
    parent = workspaces.create([workspaces.share(base)])
    path = parent.path
    (path / "before").write_text("1")
    with parent.fork() as lost:
        assert seen(lost.path) == seen(path)
        (lost.path / "lost").write_text("x")
        (lost.path / "before").unlink()
    assert not lost.path.exists()
    with parent.fork() as child:
        shutil.rmtree(child.path / "a")
        (child.path / "made").write_text("2")
        child.commit()
    assert parent.path == path
    expected = {key: text for key, text in seen(base).items() if not key.startswith("a")}
    assert seen(path) == expected | {"before": "1", "made": "2"}
    (path / "after").write_text("3")
    assert (path / "after").read_text() == "3"


def test_an_error_discards(workspaces: Workspaces) -> None:
    parent = workspaces.create()
    with pytest.raises(ZeroDivisionError):
        with parent.fork() as child:
            (child.path / "half").write_text("done")
            _ = 1 // 0
    assert seen(parent.path) == {}


def test_of_two_forks_only_one_can_be_committed(workspaces: Workspaces) -> None:
    parent = workspaces.create()
    first, second = parent.fork(), parent.fork()
    (first.path / "x").write_text("first")
    (second.path / "x").write_text("second")
    first.commit()
    with pytest.raises(InvalidRequest, match="written to after the fork"):
        second.commit()
    assert seen(parent.path) == {"x": "first"}
    (second.path / "y").write_text("still open")
    assert seen(second.path) == {"x": "second", "y": "still open"}
    second.discard()


def test_a_parent_that_was_written_to_refuses(workspaces: Workspaces) -> None:
    parent = workspaces.create()
    (parent.path / "x").write_text("1")
    child = parent.fork()
    (parent.path / "x").write_text("2")
    with pytest.raises(InvalidRequest, match="Fork it again"):
        child.commit()
    (parent.path / "x").write_text("3")
    assert seen(parent.path) == {"x": "3"}


def test_closed_ones_refuse(workspaces: Workspaces) -> None:
    parent = workspaces.create()
    child = parent.fork()
    grandchild = child.fork()
    (grandchild.path / "x").write_text("1")
    child.discard()
    child.discard()
    assert seen(grandchild.path) == {"x": "1"}
    for action in (child.fork, child.commit, grandchild.commit):
        with pytest.raises(InvalidRequest, match="closed"):
            action()
    with pytest.raises(InvalidRequest, match="neither a parent nor a name"):
        parent.commit()


def test_a_command_that_writes_is_in_the_way(overlays: Workspaces) -> None:
    """What it wrote afterwards would be in all forks, or in none."""
    parent = overlays.create()
    child = parent.fork()
    with open(child.path / "x", "w") as writer:
        writer.write("1")
        for action in (child.fork, child.commit):
            with pytest.raises(InvalidRequest, match="still writes"):
                action()
        writer.write("2")
    with open(parent.path / "y", "w"):
        with pytest.raises(InvalidRequest, match="still writes"):
            child.commit()
    (child.path / "z").write_text("3")
    with pytest.raises(InvalidRequest, match="after the fork"):
        child.commit()


def test_everything_is_gone_at_the_end(root: Path, base: Path) -> None:
    with Workspaces.open(root) as workspaces:
        shared = workspaces.share(base)
        for _ in range(3):
            fork = workspaces.create([shared]).fork()
            (fork.path / "x").write_text("x")
            fork.fork()
        assert bool(mounts(root)) == (not workspaces.reason)
    assert mounts(root) == []
    assert [path for path in root.rglob("*") if path.is_file()] == []


def test_against_a_model(workspaces: Workspaces, base: Path) -> None:
    """Random changes, forks, commits and discards, beside a dictionary for each workspace."""
    rng = random.Random(7)
    first = workspaces.create([workspaces.share(base)])
    models = {first: seen(first.path)}
    parents: dict[Workspace, Workspace] = {}
    for number in range(120):
        workspace = rng.choice(list(models))
        match rng.randrange(7):
            case 0 if len(models) < 6:
                fork = workspace.fork()
                models[fork] = dict(models[workspace])
                parents[fork] = workspace
            case 1 if (parent := parents.get(workspace)) in models:
                assert parent is not None
                try:
                    workspace.commit()
                    models[parent] = models.pop(workspace)
                except InvalidRequest:
                    pass
            case 2 if workspace is not first:
                workspace.discard()
                del models[workspace]
            case _:
                change(workspace.path, models[workspace], rng, str(number))
        for each, model in models.items():
            assert seen(each.path) == model, number


def change(path: Path, model: dict[str, str], rng: random.Random, text: str) -> None:
    """One random change of a workspace and of what it should hold."""
    name = rng.choice(["top", "new", "a/x", "a/b/deep", "a/b/y"])
    if rng.random() < 0.2 and "a" in model:
        shutil.rmtree(path / "a")
        for key in [key for key in model if key == "a" or key.startswith("a/")]:
            del model[key]
    elif rng.random() < 0.3 and name in model:
        (path / name).unlink()
        del model[name]
    else:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
        folders = [str(parent) for parent in Path(name).parents if str(parent) != "."]
        model |= dict.fromkeys(folders, "folder") | {name: text}


def test_layers_are_merged_before_there_are_too_many(overlays: Workspaces, base: Path) -> None:
    workspace = overlays.create([overlays.share(base)])
    expected = seen(base)
    forks: list[Workspace] = []
    for number in range(2 * MAX_LAYERS + 3):
        (workspace.path / f"x{number}").write_text(str(number))
        (workspace.path / f"x{number - 5}").unlink(missing_ok=True)
        (workspace.path / "top").write_text(str(number))
        expected |= {f"x{number}": str(number), "top": str(number)}
        expected.pop(f"x{number - 5}", None)
        forks.append(workspace.fork())
        assert seen(forks[-1].path) == seen(workspace.path) == expected
    line = next(line for line in mounts(workspace.path.parent) if str(workspace.path) in line)
    assert line.count(":") < MAX_LAYERS
    assert (forks[3].path / "top").read_text() == "3"


def num_blocks(folder: Path) -> int:
    """What a folder takes on the disk, each file once however many names it has."""
    found: dict[int, int] = {}
    for place, _, files in os.walk(folder):
        for path in (Path(place), *(Path(place) / name for name in files)):
            state = path.lstat()
            found[state.st_ino] = state.st_blocks
    return sum(found.values())


def test_64_similar_workspaces_take_a_quarter_of_copies(overlays: Workspaces, root: Path) -> None:
    project = root.parent / "project"
    project.mkdir()
    for number in range(40):
        (project / str(number)).write_bytes(os.urandom(5000))
    base = overlays.create([overlays.share(project)])
    before = num_blocks(project)
    for number in range(64):
        fork = base.fork()
        (fork.path / "result").write_text(str(number))
        (fork.path / str(number % 40)).write_text("changed")
    assert len(mounts(root)) == 65
    taken = sum(num_blocks(path) for path in disk_folders(root))
    assert taken <= 64 * before / 4


def disk_folders(root: Path) -> list[Path]:
    """The folders that take room: layers and what the kernel works in, not what is shown."""
    (own,) = [path for path in (root / "own").iterdir() if path.is_dir()]
    return [path for path in own.iterdir() if not (path / "m").exists()]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "-x", "x" * 101, "ä"])
def test_names_that_are_none(workspaces: Workspaces, name: str) -> None:
    with pytest.raises(InvalidRequest, match="name"):
        workspaces.create(name=name)


def test_a_relative_folder_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="absolute"):
        with Workspaces.open(Path("here")):
            raise AssertionError("it opened")


def test_odd_characters_in_the_path(tmp_path: Path, base: Path) -> None:
    root = tmp_path / "a:b,c\\d e\n"
    with Workspaces.open(root) as workspaces:
        workspace = workspaces.create([workspaces.share(base)])
        (workspace.path / "x").write_text("x")
        with workspace.fork() as fork:
            assert seen(fork.path) == seen(base) | {"x": "x"}
    assert mounts(tmp_path) == []
    assert not list((root / "own").iterdir())

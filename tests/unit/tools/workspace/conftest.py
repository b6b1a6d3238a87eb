"""Workspaces on both of their kinds, and what lies in a folder."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest

from weft.tools.workspace import Workspaces

KINDS = ["overlays", "copies"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "workspaces"


@pytest.fixture(params=KINDS)
def workspaces(request: pytest.FixtureRequest, root: Path) -> Generator[Workspaces]:
    with Workspaces.open(root, uses_overlays=request.param == "overlays") as opened:
        if request.param == "overlays" and opened.reason:
            pytest.skip(opened.reason)
        yield opened


@pytest.fixture
def overlays(root: Path) -> Generator[Workspaces]:
    with Workspaces.open(root) as opened:
        if opened.reason:
            pytest.skip(opened.reason)
        yield opened


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "base"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "deep").write_text("deep")
    (folder / "top").write_text("top")
    (folder / "run").write_text("#!/bin/sh\n")
    (folder / "run").chmod(0o755)
    (folder / "link").symlink_to("top")
    (folder / "out").symlink_to("/etc/passwd")
    return folder


def seen(folder: Path) -> dict[str, str]:
    """What a folder holds: each path with its text, or where its link leads."""
    found: dict[str, str] = {}
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place) / name
            key = str(path.relative_to(folder))
            if path.is_symlink():
                found[key] = f"-> {os.readlink(path)}"
            else:
                found[key] = "folder" if path.is_dir() else path.read_text()
    return found


def mounts(folder: Path) -> list[str]:
    """The mounts below a folder."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [line for line in lines if f"{folder}/" in line]

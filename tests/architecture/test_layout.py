"""The checkout's lens: src/weft shows the five folders under one name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import weft
from tests.architecture.sources import FOLDERS, ROOT


@pytest.mark.parametrize("folder", FOLDERS)
def test_link_resolves_home(folder: str) -> None:
    link = ROOT / "src/weft" / folder
    assert link.is_symlink()
    assert not link.readlink().is_absolute()
    assert link.resolve() == ROOT / folder


def test_links_are_the_only_folders_of_the_lens() -> None:
    entries = {entry.name for entry in (ROOT / "src/weft").iterdir() if entry.is_dir()}
    assert entries - {"__pycache__"} == set(FOLDERS)


def test_weft_is_imported_from_this_checkout() -> None:
    assert Path(weft.__file__).parent == ROOT / "src/weft"


def test_no_folder_is_imported_under_its_bare_name() -> None:
    from_root = [name for name in FOLDERS if _comes_from_root(name)]
    assert from_root == []


def test_bare_name_would_be_noticed() -> None:
    code = "import sys, runtime; print(sys.modules['runtime'].__file__)"
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert Path(shown.stdout.strip()).parent == ROOT / "runtime"


def _comes_from_root(name: str) -> bool:
    module = sys.modules.get(name)
    return module is not None and (module.__file__ or "").startswith(str(ROOT / name))

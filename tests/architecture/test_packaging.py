"""What users install: the wheel, the sdist it can be built from, and the editable checkout."""

from __future__ import annotations

import os
import site
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from tests.architecture.sources import FOLDERS, ROOT

# Builds and installs take long on a busy machine.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def run(*command: str | Path, cwd: Path) -> str:
    """Run to the end and return what it wrote; its errors are part of the failure."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(source: Path, out: Path, *options: str) -> None:
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, *options, source, cwd=out)


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    build(ROOT, folder)
    return folder


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """The interpreter of a new environment that sees this one's packages, but no weft."""
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "env", cwd=tmp_path)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(tmp_path / "env")}))
    shared = [path for path in (*site.getsitepackages(), *sys.path) if "site-packages" in path]
    (packages / "shared.pth").write_text("\n".join(dict.fromkeys(shared)))
    return tmp_path / "env/bin/python"


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def contents(wheel: Path) -> set[PurePosixPath]:
    with zipfile.ZipFile(wheel) as archive:
        return {PurePosixPath(name) for name in archive.namelist()}


def shipped() -> set[PurePosixPath]:
    """Where every file of the checkout's folders belongs in a wheel."""
    top = {PurePosixPath("weft") / name for name in ("__init__.py", "errors.py", "py.typed")}
    files = {
        PurePosixPath("weft") / path.relative_to(ROOT)
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    return top | files


def test_wheel_from_sdist_holds_weft_and_nothing_else(dist: Path) -> None:
    files = {path for path in contents(only(dist, "*.whl")) if path.parts[0] == "weft"}
    others = {path.parts[0] for path in contents(only(dist, "*.whl"))} - {"weft"}
    assert files == shipped()
    assert len(others) == 1 and others.pop().endswith(".dist-info")


def test_wheel_from_the_checkout_is_the_same(dist: Path, tmp_path: Path) -> None:
    build(ROOT, tmp_path, "--wheel")
    assert contents(only(tmp_path, "*.whl")) == contents(only(dist, "*.whl"))


def test_sdist_carries_the_tests(dist: Path) -> None:
    with tarfile.open(only(dist, "*.tar.gz")) as archive:
        folders = {PurePosixPath(name).parts[1] for name in archive.getnames()}
    assert {*FOLDERS, "src", "tests", "pyproject.toml", "README.md", "LICENSE"} <= folders


def install(python: Path, *what: str | Path) -> None:
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet")
    run(*pip, "--no-deps", "--no-index", "--no-build-isolation", *what, cwd=python.parent)


def imported_from(python: Path) -> Path:
    code = "import weft.runtime, weft.agents, weft; print(weft.__file__)"
    return Path(run(python, "-I", "-c", code, cwd=python.parent).strip()).parent


def test_wheel_installs_and_imports(dist: Path, python: Path) -> None:
    install(python, only(dist, "*.whl"))
    assert imported_from(python).is_relative_to(python.parents[1])


def test_installed_command_answers(dist: Path, python: Path) -> None:
    install(python, only(dist, "*.whl"))
    assert "weft" in run(python.parent / "weft", "--help", cwd=python.parent)


def test_editable_install_reads_the_checkout(python: Path) -> None:
    install(python, "--editable", ROOT)
    assert imported_from(python) == ROOT / "src/weft"

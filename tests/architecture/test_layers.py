"""The direction of dependencies, as pyproject.toml states it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT

LINT = "import sys; from importlinter.cli import lint_imports_command as lint; sys.exit(lint())"


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LINT, "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": "src"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_contracts_hold() -> None:
    report = lint(ROOT)
    assert report.returncode == 0, report.stdout + report.stderr
    assert " 0 broken" in report.stdout


@pytest.mark.slow
def test_contracts_catch_a_planted_import(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    for folder in ("agents", "runtime", "programs", "cache", "tools"):
        package = tmp_path / "src/weft" / folder
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
    (tmp_path / "src/weft/__init__.py").write_text("")
    (tmp_path / "src/weft/errors.py").write_text("")
    (tmp_path / "src/weft/cache/__init__.py").write_text("import weft.runtime\n")
    report = lint(tmp_path)
    assert report.returncode == 1
    assert "weft.cache is not allowed to import weft.runtime" in report.stdout

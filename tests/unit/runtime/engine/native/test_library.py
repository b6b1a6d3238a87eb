"""Compiling and loading the kernels, and what happens where that fails."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

from tests.unit.runtime.engine.model.cases import config_of, random_model, runner_of
from weft.runtime.engine.model import runner as runner_module
from weft.runtime.engine.native import KernelsMissing, library, load_kernels

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")


def fake_compiler(folder: Path, script: str) -> str:
    file = folder / "compiler"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return str(file)


@pytest.mark.slow
def test_compiled_once_per_folder(tmp_path: Path) -> None:
    assert load_kernels(tmp_path).weft_packed_size(33, 10) == 640
    [file] = tmp_path.iterdir()
    before = file.stat().st_mtime_ns
    load_kernels.cache_clear()
    assert load_kernels(tmp_path).weft_packed_size(1, 1) == 32
    assert [each.stat().st_mtime_ns for each in tmp_path.iterdir()] == [before]


def test_no_compiler_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(KernelsMissing, match="no C"):
        load_kernels(tmp_path)


def test_a_failing_compiler_is_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CXX", fake_compiler(tmp_path, "echo 'out of memory' >&2; exit 3"))
    with pytest.raises(KernelsMissing, match="out of memory"):
        load_kernels(tmp_path / "kernels")
    assert list((tmp_path / "kernels").iterdir()) == []


def test_a_damaged_library_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = 'while [ "$1" != -o ] && [ $# -gt 0 ]; do shift; done; [ -n "$2" ] && echo x > "$2"'
    monkeypatch.setenv("CXX", fake_compiler(tmp_path, f"{script}; exit 0"))
    with pytest.raises(KernelsMissing, match="does not load"):
        load_kernels(tmp_path / "kernels")


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KernelsMissing, match="cannot be kept"):
        load_kernels(tmp_path / "file" / "kernels")


def test_the_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert library.cache_folder() == tmp_path / "weft" / "kernels"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/ada")
    assert library.cache_folder() == Path("/home/ada/.cache/weft/kernels")


def test_without_kernels_torch_computes_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing() -> None:
        raise KernelsMissing("there is no C++ compiler (g++)")

    monkeypatch.setattr(runner_module, "load_kernels", missing)
    with caplog.at_level(logging.WARNING):
        runner = runner_of(random_model(config_of("llama"), 0))
    assert runner.path == "fused"
    assert "there is no C++ compiler (g++)" in caplog.text
    assert "weft doctor" in caplog.text

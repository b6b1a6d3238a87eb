from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

import pytest
import torch
from rich.console import Console

from weft.runtime.cli import doctor
from weft.runtime.cli.doctor import (
    Check,
    checks_as_json,
    examine,
    is_ready,
    print_checks,
    sandbox_level,
)
from weft.runtime.engine import cuda
from weft.runtime.engine.native import KernelsMissing
from weft.tools.sandbox import SandboxLevel, SandboxReport
from weft.tools.sandbox.cgroups import Cgroups


def test_absent_things_stop_nothing_and_bad_ones_do() -> None:
    fine = Check(name="python", status="ok", detail="3.11")
    absent = Check(name="gpu", status="absent", detail="none")
    bad = Check(name="torch", status="bad", detail="not installed", remedy="Install it.")
    assert is_ready([fine, absent])
    assert not is_ready([fine, bad])
    assert checks_as_json([bad]) == {
        "ready": False,
        "checks": [
            {
                "name": "torch",
                "status": "bad",
                "detail": "not installed",
                "remedy": "Install it.",
            }
        ],
    }


def test_people_see_every_check_and_the_verdict() -> None:
    console = Console(file=io.StringIO(), width=120)
    check = Check(name="torch", status="bad", detail="not [really] installed", remedy="Do.")
    print_checks([check], console)
    shown = console.file.getvalue() if isinstance(console.file, io.StringIO) else ""
    assert "✗" in shown and "not [really] installed Do." in shown and "Not ready." in shown


@pytest.mark.slow
def test_this_machine_has_what_tests_need() -> None:
    status = {check.name: check.status for check in examine()}
    needed = ("python", "processor", "torch", "transformers", "xgrammar", "threads")
    assert {name: status[name] for name in needed} == dict.fromkeys(needed, "ok")


def no_kernels() -> None:
    raise KernelsMissing("there is no C++ compiler (g++)")


@pytest.mark.slow
def test_missing_package_model_and_tools_are_seen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(doctor, "ENGINE_PACKAGES", ("weft-no-such-package",))
    monkeypatch.setattr(doctor, "MINI", tmp_path / "nowhere")
    monkeypatch.setattr(doctor, "PEERS", tmp_path)
    monkeypatch.setattr(doctor, "load_kernels", no_kernels)
    monkeypatch.setenv("PATH", str(tmp_path))
    status = {check.name: check.status for check in examine()}
    assert status["weft-no-such-package"] == status["mini"] == "bad"
    assert status["sandbox"] == status["kernels"] == status["peers"] == "absent"
    (tmp_path / "vllm").mkdir()
    assert {check.name: check.detail for check in examine()}["peers"] == "vllm"


def test_a_gpu_without_triton_is_said_to_be_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise KernelsMissing("Triton does not load: No module named 'triton'")

    monkeypatch.setattr(cuda, "open_kernels", missing)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    check = doctor.gpu_kernels()
    assert check.status == "absent"
    assert "No module named 'triton'" in check.detail
    assert "slower" in check.remedy


@pytest.mark.parametrize("version", [1, 2])
def test_a_full_sandbox_is_told_with_its_cgroups(version: Literal[1, 2]) -> None:
    cgroups = Cgroups(version=version, bases=(), homes=())
    check = sandbox_level(SandboxReport(level=SandboxLevel.FULL, bwrap="bwrap", cgroups=cgroups))
    assert (check.status, check.remedy) == ("ok", "")
    assert check.detail.startswith("full") and f"version {version}" in check.detail


def test_a_weaker_sandbox_is_told_with_why() -> None:
    reasons: tuple[str, ...] = ("full: no cgroup here gives out memory, pids and cpu.",)
    check = sandbox_level(SandboxReport(level=SandboxLevel.BWRAP, bwrap="bwrap", reasons=reasons))
    assert (check.status, check.remedy) == ("absent", "")
    assert check.detail.startswith("bwrap: ") and reasons[0] in check.detail
    reasons = ("full, bwrap: bubblewrap is not installed.", "landlock: version 0.")
    for level, word in (
        (SandboxLevel.LANDLOCK, "single processes"),
        (SandboxLevel.NONE, "refused"),
    ):
        check = sandbox_level(SandboxReport(level=level, reasons=reasons))
        assert check.status == "absent"
        assert word in check.detail and reasons[1] in check.detail
        assert "Install bubblewrap" in check.remedy

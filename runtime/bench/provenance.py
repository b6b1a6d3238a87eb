"""What a figure was measured on, and with which code."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from weft.runtime.machine import (
    cpu_model,
    gpu_name,
    has_native_bf16,
    memory,
    num_usable_cpus,
    os_name,
)

__all__ = ["commit_of", "describe_machine"]


def describe_machine(cpuinfo: str | None = None) -> dict[str, str | int | float]:
    """Processor, GPU, cores, what else runs on it, and the versions that decide speed; ``cpuinfo``
    stands in for /proc/cpuinfo."""
    return {
        "cpu": cpu_model(cpuinfo),
        "gpu": gpu_name() or "none",
        "num_cores": num_usable_cpus(),
        "has_native_bf16": int(has_native_bf16(cpuinfo)),
        "memory_gib": round(memory().total_bytes / 2**30, 1),
        "load_average_1min": round(os.getloadavg()[0], 2),
        "os": os_name(),
        "python": platform.python_version(),
        "torch": _version("torch"),
        "transformers": _version("transformers"),
    }


def commit_of(folder: Path) -> str:
    """The checked-out commit, with ``+`` when files differ from it; empty outside a checkout."""
    commit = _git(folder, "rev-parse", "HEAD")
    return f"{commit}+" if commit and _git(folder, "status", "--porcelain") else commit


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""

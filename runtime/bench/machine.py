"""What a figure was measured on."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

__all__ = ["commit_of", "describe_machine", "has_native_bf16"]

CPUINFO = Path("/proc/cpuinfo")
BF16_FLAGS = ("amx_bf16", "avx512_bf16", "bf16")


def describe_machine(cpuinfo: str | None = None) -> dict[str, str | int | float]:
    """Processor, cores, what else runs on it, and the versions that decide speed."""
    text = _cpuinfo() if cpuinfo is None else cpuinfo
    return {
        "cpu": _field(text, "model name") or platform.machine(),
        "num_cores": len(os.sched_getaffinity(0)),
        "has_native_bf16": int(has_native_bf16(text)),
        "memory_gib": round(_memory_bytes() / 2**30, 1),
        "load_average_1min": round(os.getloadavg()[0], 2),
        "os": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "torch": _version("torch"),
        "transformers": _version("transformers"),
    }


def has_native_bf16(cpuinfo: str | None = None) -> bool:
    """Whether the processor multiplies bfloat16 matrices itself rather than in emulation."""
    text = _cpuinfo() if cpuinfo is None else cpuinfo
    flags = set((_field(text, "flags") or _field(text, "Features")).split())
    return any(flag in flags for flag in BF16_FLAGS)


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


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _cpuinfo() -> str:
    return CPUINFO.read_text(encoding="utf-8") if CPUINFO.exists() else ""


def _field(text: str, key: str) -> str:
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon and name.strip() == key:
            return value.strip()
    return ""


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""

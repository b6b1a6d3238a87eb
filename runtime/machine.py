"""Facts about this machine, read without changing it."""

from __future__ import annotations

import gc
import importlib
import os
import platform
from pathlib import Path
from typing import Any, NamedTuple

__all__ = [
    "Memory",
    "cpu_features",
    "cpu_model",
    "gpu_name",
    "has_native_bf16",
    "memory",
    "num_usable_cpus",
    "os_name",
    "resident_bytes",
    "stolen_s",
]

FEATURES = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "bf16",
    "sve",
)
"""Instruction sets that make matrix products fast, as /proc/cpuinfo calls them."""
STEAL_FIELD = 8
"""Of the first line of ``/proc/stat``."""
BF16_FEATURES = {"amx_bf16", "avx512_bf16", "bf16"}


class Memory(NamedTuple):
    """Bytes this process may use; the cgroup's limit where that is smaller than the machine."""

    total_bytes: int
    available_bytes: int


def os_name() -> str:
    return f"{platform.system()} {platform.release()} {platform.machine()}"


def num_usable_cpus() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0))


def cpu_model(cpuinfo: str | None = None) -> str:
    """The processor's name; ``cpuinfo`` stands in for /proc/cpuinfo."""
    return _first_value(_cpuinfo(cpuinfo), "model name") or platform.machine()


def cpu_features(cpuinfo: str | None = None) -> tuple[str, ...]:
    """Those of FEATURES that the processor has, in that order."""
    text = _cpuinfo(cpuinfo)
    flags = set((_first_value(text, "flags") or _first_value(text, "Features")).split())
    return tuple(feature for feature in FEATURES if feature in flags)


def has_native_bf16(cpuinfo: str | None = None) -> bool:
    """Whether the processor multiplies bfloat16 matrices itself rather than in emulation."""
    return not BF16_FEATURES.isdisjoint(cpu_features(cpuinfo))


def gpu_name() -> str:
    """The CUDA device that torch computes on; empty where it finds none or is not installed."""
    # By name: an extra that takes seconds to import.
    try:
        torch: Any = importlib.import_module("torch")
    except ModuleNotFoundError:
        return ""
    return str(torch.cuda.get_device_name()) if torch.cuda.is_available() else ""


def memory(root: Path = Path("/")) -> Memory:
    """Read below ``root``, which tests replace."""
    meminfo = _read(root / "proc/meminfo")
    total, available = (_kib(meminfo, key) * 1024 for key in ("MemTotal", "MemAvailable"))
    limit = _cgroup_limit(root)
    return Memory(min(total, limit or total), min(available, limit or available))


def stolen_s(root: Path = Path("/")) -> float:
    """Processor time, summed over the cores since the start, that the host gave to others while
    this machine wanted it; 0 where that is not told."""
    fields = _read(root / "proc/stat").partition("\n")[0].split()
    ticks = int(fields[STEAL_FIELD]) if len(fields) > STEAL_FIELD else 0
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_bytes() -> int:
    """Memory of this process that is in use now, garbage collected."""
    gc.collect()
    pages = int(_read(Path("/proc/self/statm")).split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _cgroup_limit(root: Path) -> int | None:
    """The memory limit of version 2 or 1 of cgroups, ``None`` when there is none."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        text = _read(root / "sys/fs/cgroup" / name).strip()
        if text.isdigit():
            return int(text)
    return None


def _kib(meminfo: str, key: str) -> int:
    value = _first_value(meminfo, key).split()
    return int(value[0]) if value else 0


def _first_value(text: str, key: str) -> str:
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon and name.strip() == key:
            return value.strip()
    return ""


def _cpuinfo(text: str | None) -> str:
    return _read(Path("/proc/cpuinfo")) if text is None else text


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""

"""`weft doctor`: is everything here that programs need, and what would make them faster."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from weft.runtime.cli.problem import FAILED
from weft.runtime.cli.report import print_json
from weft.runtime.engine.native import KernelsMissing, cache_folder, load_kernels
from weft.runtime.machine import (
    cpu_features,
    cpu_model,
    memory,
    num_usable_cpus,
    os_name,
)
from weft.runtime.model import MINI, damage_of
from weft.tools.sandbox import SandboxLevel, SandboxReport, probe
from weft.tools.workspace import Workspaces

__all__ = [
    "Check",
    "checks_as_json",
    "examine",
    "gpu_kernels",
    "is_ready",
    "print_checks",
    "run_doctor",
    "sandbox_level",
]

CheckStatus = Literal["ok", "absent", "bad"]
PEERS = Path(".peers")
"""Where `make peers` keeps the environments that benches compare with."""
ENGINE_PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "xgrammar")
LEVELS = {
    SandboxLevel.BWRAP: "namespaces and seccomp, but limits of single processes only",
    SandboxLevel.LANDLOCK: "Landlock and seccomp, and limits of single processes only",
    SandboxLevel.NONE: "code and shell tools are refused",
}
"""What is lacking at each level that is not the full one."""
GIB = 2**30
MIN_MEMORY_GIB = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing looked at."""

    name: str
    status: CheckStatus
    """``absent`` is something optional that is not here; ``bad`` stops programs."""
    detail: str
    remedy: str = ""


def run_doctor(*, as_json: bool) -> int:
    """Examine, show, and return the exit code: 0 when programs can run here."""
    checks = examine()
    if as_json:
        print_json(checks_as_json(checks))
    else:
        print_checks(checks, Console())
    return 0 if is_ready(checks) else FAILED


def examine() -> list[Check]:
    """Look at everything, in the order people read it. Imports torch, and compiles the kernels at
    their first use."""
    checks = [_python(), _processor(), _memory(), *map(_package, ENGINE_PACKAGES)]
    checks += [_threads(), _gpu(), _mini()]
    checks += [sandbox_level(probe()), _workspaces(), _kernels(), gpu_kernels(), _peers()]
    return checks


def is_ready(checks: Iterable[Check]) -> bool:
    """Whether programs can run here."""
    return all(check.status != "bad" for check in checks)


def checks_as_json(checks: Sequence[Check]) -> dict[str, object]:
    return {"ready": is_ready(checks), "checks": [asdict(check) for check in checks]}


def print_checks(checks: Sequence[Check], console: Console) -> None:
    table = Table(box=None, show_header=False, padding=(0, 1))
    signs = {"ok": "[green]✓[/green]", "absent": "[yellow]–[/yellow]", "bad": "[red]✗[/red]"}
    for check in checks:
        detail = escape(check.detail)
        if check.remedy:
            detail += f" [dim]{escape(check.remedy)}[/dim]"
        table.add_row(signs[check.status], check.name, detail)
    console.print(table)
    console.print("Ready." if is_ready(checks) else "[red]Not ready.[/red]")


def _python() -> Check:
    detail = f"{platform.python_version()} at {sys.executable}"
    return Check(name="python", status="ok", detail=detail)


def _processor() -> Check:
    features = " ".join(cpu_features()) or "no vector instructions known"
    detail = f"{cpu_model()}, {num_usable_cpus()} usable cores, {features}, {os_name()}"
    return Check(name="processor", status="ok", detail=detail)


def _memory() -> Check:
    total, available = memory()
    detail = f"{available / GIB:.1f} GiB free of {total / GIB:.1f} GiB"
    if available < MIN_MEMORY_GIB * GIB:
        remedy = f"The bundled model wants {MIN_MEMORY_GIB} GiB."
        return Check(name="memory", status="absent", detail=detail, remedy=remedy)
    return Check(name="memory", status="ok", detail=detail)


def _package(name: str) -> Check:
    try:
        return Check(name=name, status="ok", detail=metadata.version(name))
    except metadata.PackageNotFoundError:
        remedy = "Install weft with its engine: pip install 'weft[engine]'."
        return Check(name=name, status="bad", detail="not installed", remedy=remedy)


def _threads() -> Check:
    return _with_torch("threads", _torch_threads)


def _gpu() -> Check:
    return _with_torch("gpu", _torch_gpus)


def _with_torch(name: str, look: Callable[[], Check]) -> Check:
    try:
        return look()
    except ImportError as error:
        return Check(name=name, status="bad", detail=f"torch does not load: {error}")


def _torch_threads() -> Check:
    import torch  # takes a second, and is an extra

    kernels = torch.backends.cpu.get_cpu_capability()
    detail = f"torch computes with {torch.get_num_threads()}, {kernels} kernels"
    return Check(name="threads", status="ok", detail=detail)


def _torch_gpus() -> Check:
    import torch

    if not torch.cuda.is_available():
        return Check(name="gpu", status="absent", detail="none; the engine uses the processor")
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return Check(name="gpu", status="ok", detail=", ".join(names))


def _mini() -> Check:
    damage = damage_of(MINI)
    if damage:
        return Check(name="mini", status="bad", detail=damage, remedy="Train it: make mini.")
    return Check(name="mini", status="ok", detail=f"whole, at {MINI}")


def sandbox_level(report: SandboxReport) -> Check:
    """How strongly code and shell tools are confined here; less than fully is told with why."""
    reasons = " ".join(report.reasons)
    if report.level == SandboxLevel.FULL:
        assert report.cgroups is not None
        detail = f"full: bubblewrap, seccomp, cgroups of version {report.cgroups.version}"
        return Check(name="sandbox", status="ok", detail=detail)
    remedy = "Install bubblewrap with your system's packages." if report.bwrap is None else ""
    detail = f"{report.level.name.lower()}: {LEVELS[report.level]}. {reasons}"
    return Check(name="sandbox", status="absent", detail=detail, remedy=remedy)


def _workspaces() -> Check:
    with TemporaryDirectory(prefix="weft-doctor-") as folder, Workspaces.open(Path(folder)) as made:
        if made.reason:
            return Check(name="workspaces", status="absent", detail=made.reason)
    return Check(name="workspaces", status="ok", detail="layers of overlayfs")


def _kernels() -> Check:
    """Compiles them when they are not there yet."""
    try:
        load_kernels()
    except KernelsMissing as missing:
        remedy = "Models run on torch alone, slower. Install g++ with your system's packages."
        return Check(name="kernels", status="absent", detail=str(missing), remedy=remedy)
    return Check(name="kernels", status="ok", detail=f"compiled, in {cache_folder()}")


def gpu_kernels() -> Check:
    """Compiles one for the GPU, if there is one."""
    return _with_torch("gpu kernels", _triton_kernels)


def _triton_kernels() -> Check:
    import torch

    from weft.runtime.engine.cuda import HeadShape, open_kernels  # imports torch

    if not torch.cuda.is_available():
        return Check(name="gpu kernels", status="absent", detail="none needed without a GPU")
    heads = HeadShape(num_heads=1, num_kv_heads=1, head_dim=64)
    device = torch.device("cuda", torch.cuda.current_device())
    try:
        open_kernels(heads, torch.float16, device, is_deterministic=False)
    except KernelsMissing as missing:
        remedy = "Attention runs on torch alone, slower. Install torch for CUDA with its Triton."
        return Check(name="gpu kernels", status="absent", detail=str(missing), remedy=remedy)
    detail = f"compiled by Triton {metadata.version('triton')}"
    return Check(name="gpu kernels", status="ok", detail=detail)


def _peers() -> Check:
    found = sorted(folder.name for folder in PEERS.iterdir()) if PEERS.is_dir() else []
    if not found:
        return Check(
            name="peers", status="absent", detail="none", remedy="For benches: make peers."
        )
    return Check(name="peers", status="ok", detail=", ".join(found))

"""The machine's report, and commands that run in a sandbox for one test."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from weft.tools.sandbox import (
    Sandbox,
    SandboxLevel,
    SandboxLimits,
    SandboxReport,
    probe,
    session,
)

MIB = 1 << 20
ENDED_ITSELF_S = 5.0
"""Under ``patient_end``: sooner than any launcher is killed, on however slow a machine."""
Opener = Callable[..., AbstractAsyncContextManager[Sandbox]]


@pytest.fixture(scope="session")
def report() -> SandboxReport:
    return probe()


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.fixture
def patient_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A launcher that does not end by itself is waited for so long that no stall looks like it."""
    monkeypatch.setattr(session, "END_S", 30.0)


@pytest.fixture
def sandbox_at(report: SandboxReport, workspace: Path) -> Opener:
    """Opens a sandbox at a level; skips the test where the machine lacks it."""

    @asynccontextmanager
    async def open_at(
        level: SandboxLevel = SandboxLevel.FULL, limits: SandboxLimits | None = None
    ) -> AsyncGenerator[Sandbox]:
        if report.level < level:
            pytest.skip(f"no {level.name} sandbox here: {' '.join(report.reasons)}")
        small = limits or SandboxLimits(memory_bytes=128 * MIB, wall_s=10)
        async with Sandbox.open(report.lowered(level), workspace, small) as sandbox:
            yield sandbox

    return open_at

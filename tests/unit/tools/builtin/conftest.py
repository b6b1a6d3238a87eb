"""Toolboxes over a real sandbox, the strongest that the machine gives."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from weft.tools import ToolRegistry
from weft.tools.builtin import ToolboxOptions, open_toolbox
from weft.tools.sandbox import SandboxLevel, SandboxLimits, SandboxReport, probe

MIB = 1 << 20
SMALL = SandboxLimits(
    memory_bytes=128 * MIB, wall_s=10, output_bytes=100_000, workspace_bytes=8 * MIB
)
Opener = Callable[..., AbstractAsyncContextManager[ToolRegistry]]


@pytest.fixture(scope="session")
def report() -> SandboxReport:
    found = probe()
    if found.level == SandboxLevel.NONE:
        pytest.skip(f"no sandbox here: {' '.join(found.reasons)}")
    return found


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.fixture
def toolbox(report: SandboxReport, workspace: Path) -> Opener:
    """Opens a toolbox over the test's workspace, with small limits."""

    @asynccontextmanager
    async def open_with(**changes: Any) -> AsyncGenerator[ToolRegistry]:
        options = replace(ToolboxOptions(limits=SMALL, quota=SMALL, max_chars=1000), **changes)
        async with open_toolbox(workspace, options, report=report) as tools:
            yield tools

    return open_with

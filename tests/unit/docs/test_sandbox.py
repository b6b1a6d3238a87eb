"""The code of docs/sandbox.md runs as it stands."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from tests.support.fences import fences
from weft.runtime.cli.program_file import load_module
from weft.tools.sandbox import Sandbox, SandboxLevel, SandboxLimits, SandboxReport, probe
from weft.tools.workspace import Workspaces

PAGE = Path(__file__).parents[3] / "docs" / "sandbox.md"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """All blocks below one another, as a reader would paste them."""
    path = tmp_path_factory.mktemp("docs") / "sandbox_page.py"
    code = [fence.code for fence in fences(PAGE) if fence.language == "python"]
    path.write_text("\n".join(code), encoding="utf-8")
    return load_module(path)


@pytest.fixture(scope="module")
def report() -> SandboxReport:
    found = probe()
    if found.level == SandboxLevel.NONE:
        pytest.skip(f"no sandbox here: {' '.join(found.reasons)}")
    return found


async def test_code_runs_confined(page: ModuleType, report: SandboxReport, tmp_path: Path) -> None:
    result = await page.run_code(report, tmp_path, "print(6 * 7)")
    assert (result.stdout, result.limit) == (b"42\n", None)


async def test_a_command_is_talked_to(
    page: ModuleType, report: SandboxReport, tmp_path: Path
) -> None:
    async with Sandbox.open(report, tmp_path, SandboxLimits()) as sandbox:
        assert await page.add_up(sandbox, [1, 2, 3]) == [1, 3, 6]


async def test_the_first_try_that_works_is_kept(
    page: ModuleType, report: SandboxReport, tmp_path: Path
) -> None:
    project, root = tmp_path / "project", tmp_path / "root"
    project.mkdir()
    (project / "given").write_text("x")
    tries = ["rm given; false", "cp given made", "rm made"]
    assert await page.best_of(report, root, project, tries) == "cp given made"
    with Workspaces.open(root) as workspaces:
        workspace = workspaces.create([workspaces.share(project)], name="project")
        assert sorted(path.name for path in workspace.path.iterdir()) == ["given", "made"]
        assert workspace.key == "cp given made"


def test_the_defaults_are_those_of_the_table() -> None:
    limits, text = SandboxLimits(), PAGE.read_text(encoding="utf-8")
    mib = 1 << 20
    for name, shown in (
        ("memory_bytes", f"{limits.memory_bytes // mib} MiB"),
        ("cpus", f"{limits.cpus:g}"),
        ("max_processes", f"{limits.max_processes}"),
        ("wall_s", f"{limits.wall_s:g}"),
        ("output_bytes", f"{limits.output_bytes // mib} MiB of each stream"),
        ("workspace_bytes", f"{limits.workspace_bytes // mib} MiB of growth"),
    ):
        assert f"| `{name}` | {shown} |" in text

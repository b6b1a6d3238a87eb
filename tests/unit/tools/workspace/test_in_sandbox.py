"""Commands that run in workspaces."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.unit.tools.workspace.conftest import seen
from weft.errors import InvalidRequest
from weft.tools.sandbox import SandboxLevel, SandboxLimits, SandboxReport, probe, read_beneath
from weft.tools.workspace import Workspaces

MIB = 1 << 20
LIMITS = SandboxLimits(memory_bytes=128 * MIB, wall_s=10, workspace_bytes=2 * MIB)


@pytest.fixture(params=[SandboxLevel.FULL, SandboxLevel.BWRAP, SandboxLevel.LANDLOCK])
def report(request: pytest.FixtureRequest) -> SandboxReport:
    found = probe()
    if found.level < request.param:
        pytest.skip(f"no {request.param.name} sandbox here: {' '.join(found.reasons)}")
    return found.lowered(request.param)


async def test_commands_change_their_workspace_alone(
    workspaces: Workspaces, base: Path, report: SandboxReport
) -> None:
    parent = workspaces.create([workspaces.share(base)])
    fork = parent.fork()
    async with fork.sandbox(report, LIMITS) as one, parent.sandbox(report, LIMITS) as other:
        result = await one.run(["sh", "-c", "echo mine >> top; rm -r a; echo x > made; ls; ./run"])
        assert (result.exit_code, result.stderr) == (0, b"")
        assert result.stdout == b"link\nmade\nout\nrun\ntop\n"
        assert (await other.run(["sh", "-c", "cat top a/b/deep"])).stdout == b"topdeep"
    fork.commit()
    expected = {key: text for key, text in seen(base).items() if not key.startswith("a")}
    assert seen(parent.path) == expected | {"made": "x\n", "top": "topmine\n"}


async def test_an_open_sandbox_sees_forks_and_commits(
    workspaces: Workspaces, report: SandboxReport
) -> None:
    """Its launcher is older than what is at the path by then."""
    parent = workspaces.create()
    async with parent.sandbox(report, LIMITS) as sandbox:
        await sandbox.run(["sh", "-c", "echo 1 > x"])
        child = parent.fork()
        await sandbox.run(["sh", "-c", "echo 2 >> x"])
        assert (child.path / "x").read_text() == "1\n"
        assert (parent.path / "x").read_text() == "1\n2\n"
        child.discard()
        with parent.fork() as child:
            async with child.sandbox(report, LIMITS) as inner:
                await inner.run(["sh", "-c", "echo 3 >> x"])
            child.commit()
        assert (await sandbox.run(["cat", "x"])).stdout == b"1\n2\n3\n"


async def test_growth_counts_for_what_is_new(
    workspaces: Workspaces, base: Path, report: SandboxReport
) -> None:
    (base / "big").write_bytes(bytes(4 * MIB))
    parent = workspaces.create([workspaces.share(base)])
    async with parent.sandbox(report, LIMITS) as sandbox:
        small = await sandbox.run(["sh", "-c", "head -c 1m /dev/zero > x"])
        assert (small.limit, small.exit_code) == (None, 0)
        script = "for i in 1 2 3; do head -c 1m /dev/zero > y$i; done; sleep 5"
        assert (await sandbox.run(["sh", "-c", script])).limit == "workspace"


async def test_a_held_command_that_writes_is_in_the_way(
    overlays: Workspaces, report: SandboxReport
) -> None:
    parent = overlays.create()
    async with parent.sandbox(report, LIMITS) as sandbox:
        async with sandbox.hold(["sh", "-c", "exec > x; read a; echo $a"]) as held:
            while "x" not in seen(parent.path):
                await asyncio.sleep(0.01)
            with pytest.raises(InvalidRequest, match="still writes"):
                parent.fork()
            await held.write(b"more\n")
            assert (await held.wait()).exit_code == 0
        assert seen(parent.fork().path) == {"x": "more\n"}


async def test_planted_links_lead_nowhere(
    workspaces: Workspaces, report: SandboxReport, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("sesame")
    script = f"ln -s {tmp_path} folder; ln -s {tmp_path}/secret file; mkdir d; ln -s / d/root"
    parent = workspaces.create()
    with parent.fork() as fork:
        async with fork.sandbox(report, LIMITS) as sandbox:
            assert (await sandbox.run(["sh", "-c", script])).exit_code == 0
        fork.commit()
    again = parent.fork()
    assert seen(again.path)["file"] == f"-> {tmp_path}/secret"
    for path in ("file", "folder/secret", "d/root/etc/passwd"):
        with pytest.raises(InvalidRequest):
            read_beneath(again.path, path, max_bytes=100)
    parent.discard()
    again.discard()
    assert (tmp_path / "secret").read_text() == "sesame"

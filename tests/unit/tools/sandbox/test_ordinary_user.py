"""The same sandbox opened by a user who is not root, as most are."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

import weft.errors
import weft.tools

UID = 61_000
PYTHON = "/usr/bin/python3"

SCRIPT = """
import asyncio, json, sys, tempfile, types
from pathlib import Path
for name, folder in (("weft", sys.argv[1]), ("weft.tools", sys.argv[2])):
    sys.modules[name] = package = types.ModuleType(name)
    package.__path__ = [folder]
from weft.tools.sandbox import Sandbox, SandboxLevel, SandboxLimits, probe
report = probe()
limits = SandboxLimits(memory_bytes=1 << 27, wall_s=0.3, max_processes=16)
bomb = "import os\\nwhile True:\\n try: os.fork()\\n except OSError: pass"
room = SandboxLimits(memory_bytes=1 << 27, wall_s=5, workspace_bytes=1 << 20)
hide = (
    "import os, time\\nos.mkdir('d', 0o300)\\n"
    "for name in 'abcd': open(f'd/{name}', 'wb').write(bytes(1 << 19))\\ntime.sleep(9)"
)
reach = (
    "import resource, sys\\ntry: resource.prlimit(int(sys.argv[1]), resource.RLIMIT_NOFILE, (9, 9))"
    "\\nexcept OSError: pass\\nelse: print('reached')"
)
async def tried(level):
    with tempfile.TemporaryDirectory() as folder:
        lowered = report.lowered(SandboxLevel(level))
        async with Sandbox.open(lowered, Path(folder), limits) as sandbox:
            seen = await sandbox.run(
                ["sh", "-c", f"cat /etc/passwd; kill -0 {sys.argv[3]}; echo x > made; cat made"],
                limits=room,
            )
            bombed = await sandbox.run([sys.executable, "-ISc", bomb])
            hid = await sandbox.run([sys.executable, "-ISc", hide], limits=room)
            reached = await sandbox.run([sys.executable, "-ISc", reach, sys.argv[3]], limits=room)
    ends = [bombed.limit, hid.limit, reached.stdout.decode()]
    return [seen.stdout.decode(), seen.stderr.decode(), *ends]
async def every():
    return {str(int(level)): await tried(level) for level in range(1, report.level + 1)}
print(json.dumps(asyncio.run(every())))
"""


def can_stand_in() -> bool:
    """Whether root may let another user run these very files with the system's Python."""
    if os.geteuid() != 0 or shutil.which(PYTHON) is None:
        return False
    source = Path(weft.errors.__file__)
    code = f"import sys; open({str(source)!r}).close(); sys.exit(sys.version_info < (3, 11))"
    done = subprocess.run([PYTHON, "-c", code], user=UID, group=UID, extra_groups=[], check=False)
    return done.returncode == 0


@pytest.mark.slow
def test_every_level_that_the_user_has_confines(tmp_path: Path) -> None:
    if not can_stand_in():
        pytest.skip("needs root, a system Python of 3.11, and a checkout that all may read")
    folders = [str(Path(weft.errors.__file__).parent), weft.tools.__path__[0]]
    with subprocess.Popen(["sleep", "60"], user=UID, group=UID, extra_groups=[]) as neighbour:
        try:
            done = subprocess.run(
                [PYTHON, "-B", "-c", SCRIPT, *folders, str(neighbour.pid)],
                user=UID,
                group=UID,
                extra_groups=[],
                cwd="/tmp",
                env={"PATH": "/usr/bin:/bin"},
                stdout=subprocess.PIPE,
                check=True,
                timeout=60,
            )
        finally:
            neighbour.kill()
    found = json.loads(done.stdout)
    assert found, "no level at all"
    for seen, errors, limit, hid, reached in found.values():
        assert seen == "x\n"
        assert errors.count("No such file") + errors.count("denied") >= 1
        assert "No such process" in errors or "not permitted" in errors
        assert (limit, hid, reached) == ("wall", "workspace", "")

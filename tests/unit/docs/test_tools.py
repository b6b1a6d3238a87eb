"""The code of docs/tools.md runs as it stands."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.fences import fences
from weft.runtime.cli.program_file import load_module
from weft.runtime.executor import Run
from weft.runtime.testing import Prompted, ScriptedEngine
from weft.tools.sandbox import SandboxLevel, probe

PAGE = Path(__file__).parents[3] / "docs" / "tools.md"
GIB = 1 << 30


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """All blocks below one another, as a reader would paste them."""
    path = tmp_path_factory.mktemp("docs") / "tools_page.py"
    code = [fence.code for fence in fences(PAGE.read_text("utf-8")) if fence.language == "python"]
    path.write_text("\n".join(code), encoding="utf-8")
    return load_module(path)


def called(name: str, **arguments: object) -> str:
    return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"


async def test_a_tool_answers_a_model(page: ModuleType) -> None:
    def say(prompted: Prompted) -> str:
        return "Three." if "tool: 3" in prompted.text else called("stock", item="mug")

    run = await Run.start(page.clerk, "Mugs?", engine=ScriptedEngine(say))
    assert await run.result() == "Three."


async def test_a_prediction_is_learnt(page: ModuleType) -> None:
    assert await page.measured(1) == 2 * GIB
    assert GIB // 4 <= await page.measured(7) <= GIB // 3


@pytest.mark.skipif(probe().level == SandboxLevel.NONE, reason="no sandbox here")
async def test_an_engineer_works_in_a_folder(page: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 41\n")
    replies = [
        called("replace_text", path="a.py", old="41", new="42")
        + called("python", code="import a; a.x")
        + called("shell", command="cat a.py"),
        "Fixed.",
    ]
    engine = ScriptedEngine(lambda _: replies.pop(0))
    run = await Run.start(page.fix, str(tmp_path), "Fix it.", engine=engine)
    assert await run.result() == "Fixed."
    told = [line for line in engine.prompts[1].splitlines() if line.startswith("tool: ")]
    assert [json.loads(line[6:])["value"] for line in told[1:2]] == ["42"]
    assert json.loads(told[2][6:])["stdout"] == "x = 42\n"
    assert (tmp_path / "a.py").read_text() == "x = 42\n"


@pytest.mark.skipif(probe().level == SandboxLevel.NONE, reason="no sandbox here")
async def test_an_environment_is_prepared(page: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("x")
    run = await Run.start(page.prepared, str(tmp_path), engine=ScriptedEngine(lambda _: "go"))
    text = await run.result()
    assert text.startswith("go: Listing(entries=('notes (1 bytes)',)")
    assert "database.sqlite" in text

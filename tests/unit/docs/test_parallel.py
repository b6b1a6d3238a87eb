"""The code of docs/parallel.md runs as it stands, on an engine that answers from a script."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from tests.support.fences import fences
from weft.runtime.cli.program_file import load_module
from weft.runtime.executor import Run
from weft.runtime.testing import Prompted, ScriptedEngine

PAGE = Path(__file__).parents[3] / "docs" / "parallel.md"
ANSWERS = {
    "The tower: ": "9 m\n",
    "The mast: ": "7 m\n",
    "So: ": "the tower",
    "Why?": "<Goal><Outline> 1: first</Outline></Goal>",
    "<Path> 1:": " because</Path>",
    "<Conclusion>": " done</Conclusion>",
    "Lane 1 of 2\n": "one",
    "Lane 2 of 2\n": "two",
    '"name":': ' "book"}',
    '"passenger":': ' "Ann",',
    '"hotel":': ' "Belaro",',
}


def answer(prompted: Prompted) -> str:
    return next(text for end, text in ANSWERS.items() if prompted.text.endswith(end))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """All blocks below one another, as a reader would paste them."""
    path = tmp_path_factory.mktemp("docs") / "parallel_page.py"
    code = [fence.code for fence in fences(PAGE) if fence.language == "python"]
    path.write_text("\n".join(code), encoding="utf-8")
    return load_module(path)


@pytest.mark.parametrize(
    ("name", "args", "wanted"),
    [
        ("taller", (), "the tower"),
        ("together", ("Say.",), ["one", "two"]),
        ("booked", ("Book.",), "Ann at Belaro"),
    ],
)
async def test_programs_give_what_the_page_says(
    page: ModuleType, name: str, args: tuple[str, ...], wanted: object
) -> None:
    run = await Run.start(getattr(page, name), *args, engine=ScriptedEngine(answer))
    assert await run.result() == wanted


async def test_a_plan_is_unfolded(page: ModuleType) -> None:
    run = await Run.start(page.planned, "Why?", engine=ScriptedEngine(answer))
    text = await run.result()
    assert "<Path> 1: because</Path><Conclusion> done" in text
    assert text.endswith("in a row")

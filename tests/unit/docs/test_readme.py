"""The README's code runs as it stands, on an engine that answers from a script."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

import weft
from tests.support.fences import Fence, fences
from weft.runtime.cli.program_file import load_module
from weft.runtime.engine import Engine
from weft.runtime.testing import Prompted, ScriptedEngine

ROOT = Path(__file__).parents[3]
README = ROOT / "README.md"
ANSWERS = {
    "Judge": '{"verdict": "against", "reason": "lonely days"}',
    "against remote work": "Lonely days.",
    "for remote work": "Quiet rooms.",
}


def blocks() -> list[Fence]:
    return [fence for fence in fences(README) if fence.language == "python"]


def answer(prompted: Prompted) -> str:
    return next(text for key, text in ANSWERS.items() if key in prompted.text)


async def open_scripted(name: str) -> Engine:
    assert name == "mini"
    return ScriptedEngine(answer)


def run_as_one_file(folder: Path) -> ModuleType:
    """All blocks below one another, as a reader would paste them."""
    path = folder / "readme.py"
    path.write_text("\n".join(fence.code for fence in blocks()), encoding="utf-8")
    return load_module(path)


def test_code_runs_and_prints_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(weft, "open_engine", open_scripted)
    module = run_as_one_file(tmp_path)
    written = len("Quiet rooms." + "Lonely days." + ANSWERS["Judge"])
    shown = capsys.readouterr().out
    assert shown == f"verdict='against' reason='lonely days' {written}\n"
    assert module.Brief.__module__ in sys.modules


def test_program_is_short() -> None:
    code = [line for line in blocks()[0].code.splitlines() if line.strip()]
    assert len(code) <= 15


def test_every_block_says_its_language() -> None:
    assert all(fence.language for fence in fences(README))

"""The code of docs/scheduling.md runs as it stands, and its table knows every policy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import weft
from tests.support.fences import fences
from weft.runtime.cli.program_file import load_module
from weft.runtime.engine import Engine
from weft.runtime.scheduler import make_policy, policy_names
from weft.runtime.testing import Prompted, ScriptedEngine

PAGE = Path(__file__).parents[3] / "docs" / "scheduling.md"
COLOURS = {"grass": "green", "snow": "white", "coal": "black"}


def answer(prompted: Prompted) -> str:
    return next((text for key, text in COLOURS.items() if key in prompted.text), "?")


async def open_scripted(name: str) -> Engine:
    assert name == "mini"
    return ScriptedEngine(answer)


def test_code_runs_and_prints_the_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(weft, "open_engine", open_scripted)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    path = tmp_path / "scheduling_page.py"
    code = [fence.code for fence in fences(PAGE) if fence.language == "python"]
    path.write_text("\n".join(code), encoding="utf-8")
    load_module(path)
    assert capsys.readouterr().out.splitlines() == ["green", "white", "black", "3 calls"]
    assert list((tmp_path / "weft").iterdir()) == []


def test_every_policy_is_in_the_table_and_those_with_costs_are_named() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| `([a-z-]+)` \| .* \| .* \|$", text, re.MULTILINE)) == sorted(
        policy_names()
    )
    [named] = re.findall(r"^(`.*`) use costs\.", text, re.MULTILINE)
    assert set(re.findall(r"`([a-z-]+)`", named)) == {
        name for name in policy_names() if make_policy(name).uses_costs
    }

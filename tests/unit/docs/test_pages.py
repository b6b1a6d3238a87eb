"""Pages name only files, make targets, commands and options that are there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from weft.runtime.cli.app import app

ROOT = Path(__file__).parents[3]
PAGES = sorted({*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")})
LINK = re.compile(r"\[[^\]]*\]\((?!https?://|#)([^)#\s]+)")
COMMAND = re.compile(
    r"^    (?:\S+=\S+ )*(?:\.venv/bin/)?(weft|make) (.*?)(?: +#.*)?$", re.MULTILINE
)
GROUPS = ("model", "runs")


def commands(program: str) -> list[list[str]]:
    """The words after ``weft`` or ``make`` in every indented example."""
    return [
        shlex.split(words.split(" | ")[0])
        for page in PAGES
        for name, words in COMMAND.findall(page.read_text(encoding="utf-8"))
        if name == program
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_make_targets_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):.*## ", makefile, re.MULTILINE))
    named = {words[0] for words in commands("make") if "=" not in words[0]}
    assert {"demo", "test", "check"} <= named <= targets


@pytest.mark.parametrize("words", commands("weft"), ids=" ".join)
def test_commands_and_options_are_there(words: list[str]) -> None:
    command = words[:2] if words[0] in GROUPS else words[:1]
    shown = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "300"})
    assert shown.exit_code == 0, shown.output
    options = {word for word in words if word.startswith("--")}
    assert options <= set(re.findall(r"--[a-z-]+", shown.output))


def test_rules_see_what_is_wrong() -> None:
    assert LINK.findall("[a](no.md) [b](https://x.org) [c](#here)") == ["no.md"]
    assert COMMAND.findall("    PYTHON=p make fly  # up\ntext weft run") == [("make", "fly")]

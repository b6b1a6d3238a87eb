from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from tests.support.shell import environment
from weft.runtime.cli.app import app

HEAVY = ("torch", "transformers", "numpy", "networkx", "xgrammar", "weft.programs")
ASK_FOR_HELP = f"""
import sys
from weft.runtime.cli import main
sys.argv = ["weft", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    print("exit", end.code, [name for name in {HEAVY} if name in sys.modules])
"""


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [(), ("run",), ("model",), ("runs", "show")])
def test_help_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    shown = subprocess.run(
        [sys.executable, "-c", ASK_FOR_HELP, *arguments, "--help"],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Usage: weft" in shown.stdout
    assert shown.stdout.splitlines()[-1] == "exit 0 []"


def test_no_command_shows_help() -> None:
    result = CliRunner().invoke(app, [])
    assert "Usage" in result.output and "doctor" in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["run"],
        ["run", "x.py", "--seed", "-1"],
        ["run", "x.py", "--kv-dtype", "int4"],
        ["runs", "ls", "--limit", "0"],
    ],
)
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output

from __future__ import annotations

import json

import pytest
import typer

from weft.errors import CallerError, EngineDied
from weft.runtime.cli.report import print_json, reported


@reported
def failing(*, error: BaseException, json_output: bool = False, debug: bool = False) -> None:
    raise error


def test_error_is_one_line_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as caught:
        failing(error=CallerError("No [file].", remedy="Give one."))
    assert caught.value.exit_code == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", "error: No [file]. Give one.\n")


def test_error_is_one_json_object_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as caught:
        failing(error=EngineDied("Out of memory."), json_output=True)
    assert caught.value.exit_code == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["error"]["type"] == "EngineDied"
    assert err == ""


def test_traceback_is_shown_only_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    for debug in (False, True):
        with pytest.raises(typer.Exit):
            failing(error=ValueError("odd"), debug=debug)
        assert ("Traceback" in capsys.readouterr().err) == debug


def test_interrupt_exits_with_130() -> None:
    with pytest.raises(typer.Exit) as caught:
        failing(error=KeyboardInterrupt())
    assert caught.value.exit_code == 130


def test_exit_passes_untouched() -> None:
    with pytest.raises(typer.Exit) as caught:
        failing(error=typer.Exit(7))
    assert caught.value.exit_code == 7


def test_json_shows_what_is_no_json_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"kind": object, "name": "Zürich"})
    shown = json.loads(capsys.readouterr().out)
    assert shown == {"kind": str(object), "name": "Zürich"}

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel

from weft.errors import CallerError
from weft.programs.entry import program
from weft.runtime.cli.arguments import bind_arguments, read_input, read_settings


class Order(BaseModel):
    item: str
    count: int


@program
async def buy(
    question: str,
    tries: int = 3,
    order: Order | None = None,
    tone: Literal["dry", "warm"] = "dry",
    note: str | None = None,
    tags: tuple[str, ...] = (),
) -> str:
    return f"{question}{tries}{order}{tone}{note}{tags}"


def bound(input_text: str | None = None, *settings: str) -> dict[str, object]:
    """What is given, without the defaults."""
    defaults = {"tries": 3, "order": None, "tone": "dry", "note": None, "tags": ()}
    arguments = bind_arguments(buy, read_input(input_text), read_settings(settings))
    assert arguments.args == ()
    return {
        name: value
        for name, value in arguments.kwargs.items()
        if name not in defaults or value != defaults[name]
    }


def test_values_take_the_annotated_types() -> None:
    asked = '{"question": "How?", "order": {"item": "tea", "count": 2}}'
    assert bound(asked, "tries=5", 'tags=["a"]', "tone=warm") == {
        "question": "How?",
        "tries": 5,
        "order": Order(item="tea", count=2),
        "tags": ("a",),
        "tone": "warm",
    }


@pytest.mark.parametrize("text", ["42", "null", "[1]", "a=b", ""])
def test_text_stays_text_even_when_it_looks_like_json(text: str) -> None:
    assert bound(None, f"question={text}", f"note={text}") == {"question": text, "note": text}


def test_setting_replaces_the_input_and_the_last_one_wins() -> None:
    assert bound('{"question": "a", "tries": 1}', "tries=2", "tries=4")["tries"] == 4


def test_input_comes_from_a_file_or_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in.json").write_text('{"question": "file"}')
    assert bound(f"@{tmp_path / 'in.json'}") == {"question": "file"}
    monkeypatch.setattr("sys.stdin", io.StringIO('{"question": "pipe"}'))
    assert bound("@-") == {"question": "pipe"}


@pytest.mark.parametrize(
    ("input_text", "settings", "said"),
    [
        (None, (), "'question' is missing"),
        (None, ("qestion=x",), "no argument 'qestion'.*Did you mean 'question'"),
        ('{"qestion": "x"}', (), "Did you mean 'question'"),
        (None, ("question",), "--set got 'question'"),
        (None, ("=x",), "--set got '=x'"),
        (None, ("question=x", "tries=many"), "tries is 'many'.*valid integer"),
        (None, ("question=x", "tone=loud"), "tone is 'loud'"),
        ('{"question": "x", "order": {"item": "t"}}', (), r"order\.count"),
        ("{", (), "--input is no JSON"),
        ("[1]", (), r"--input is \[1\].*JSON object"),
        ("@/no/such/file", (), "--input cannot read '/no/such/file'"),
    ],
)
def test_what_does_not_fit_is_refused(
    input_text: str | None, settings: tuple[str, ...], said: str
) -> None:
    with pytest.raises(CallerError, match=said):
        bound(input_text, *settings)

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel

from weft.errors import CallerError
from weft.runtime.cli.arguments import bind_arguments, read_arguments


class Order(BaseModel):
    item: str
    count: int


async def program(
    question: str,
    tries: int = 3,
    order: Order | None = None,
    tone: Literal["dry", "warm"] = "dry",
    tags: list[str] | None = None,
) -> str:
    return f"{question}{tries}{order}{tone}{tags}"


def bound(input_text: str | None = None, *settings: str) -> dict[str, object]:
    return bind_arguments(program, read_arguments(input_text, settings))


def test_values_take_the_annotated_types() -> None:
    arguments = bound(
        '{"question": "How?", "order": {"item": "tea", "count": 2}}', "tries=5", 'tags=["a"]'
    )
    assert arguments == {
        "question": "How?",
        "tries": 5,
        "order": Order(item="tea", count=2),
        "tags": ["a"],
    }


def test_text_stays_text_even_when_it_looks_like_json() -> None:
    assert bound(None, "question=42") == {"question": "42"}
    assert bound(None, "question=a=b") == {"question": "a=b"}


def test_setting_replaces_the_input() -> None:
    assert bound('{"question": "a", "tries": 1}', "tries=2")["tries"] == 2


def test_text_that_is_no_json_is_text_for_any_type() -> None:
    assert bound(None, "question=x", "tone=warm")["tone"] == "warm"


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
        (None, ("question",), "--set got 'question'"),
        (None, ("=x",), "--set got '=x'"),
        (None, ("question=x", "tries=many"), "argument tries is 'many'.*valid integer"),
        (None, ("question=x", "tone=loud"), "argument tone is 'loud'"),
        ('{"question": "x", "order": {"item": "t"}}', (), r"order\['count'\]"),
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

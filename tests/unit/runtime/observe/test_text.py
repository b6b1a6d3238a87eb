from __future__ import annotations

import pytest

from weft.runtime.observe.text import clipped, clipped_front, cost, one_line, program_name
from weft.runtime.observe.usage import Usage


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("  two\n\twords ", "two words"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("a\u202eb", "a\\u202eb"),
        ("\ud800", "\\ud800"),
        ("\x9b31m", "\\x9b31m"),
        ("Käse 🧀", "Käse 🧀"),
    ],
)
def test_a_line_cannot_steer_the_terminal(text: str, line: str) -> None:
    assert one_line(text) == line


def test_cut_text_says_so_on_the_side_it_was_cut() -> None:
    assert clipped("abcdef", 4) == "abc…"
    assert clipped_front("abcdef", 4) == "…def"
    assert clipped("abcd", 4) == clipped_front("abcd", 4) == "abcd"
    assert clipped("abc", 1) == clipped_front("abc", 1) == "…"


def test_cost_names_only_what_there_was() -> None:
    usage = Usage(num_prompt_tokens=8, num_cached_tokens=6, num_generated_tokens=3)
    assert cost(usage, 1.25) == "3 tok, 75% cached, 1.2 s"
    assert cost(Usage(), 0.0) == "0.0 s"


def test_a_program_is_called_by_its_own_name() -> None:
    assert program_name("weft_file_brief_0a1b:brief") == "brief"
    assert program_name("brief") == "brief"
    assert program_name("m:a\nb") == "a b"

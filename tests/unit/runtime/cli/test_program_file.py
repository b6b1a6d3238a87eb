from __future__ import annotations

import sys
from pathlib import Path

import pytest

from weft.errors import CallerError
from weft.runtime.cli.program_file import choose_program, load_module, parse_ref


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_file_alone_and_with_a_program(tmp_path: Path) -> None:
    path = write(tmp_path, "team.py", "")
    assert parse_ref(str(path)) == (path, None)
    assert parse_ref(f"{path}:brief") == (path, "brief")


def test_colon_in_a_file_name_is_no_program(tmp_path: Path) -> None:
    path = write(tmp_path, "a:b.py", "")
    assert parse_ref(str(path)) == (path, None)


def test_missing_file_is_refused_with_its_neighbours(tmp_path: Path) -> None:
    write(tmp_path, "analyst.py", "")
    with pytest.raises(CallerError, match=r"analist\.py.*not there.*Did you mean 'analyst\.py'"):
        parse_ref(str(tmp_path / "analist.py"))


def test_folder_and_other_kinds_of_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match="is a folder"):
        parse_ref(str(tmp_path))
    with pytest.raises(CallerError, match="no Python file"):
        parse_ref(str(write(tmp_path, "notes.txt", "")))


def test_module_imports_its_neighbours_and_leaves_the_path_alone(tmp_path: Path) -> None:
    write(tmp_path, "weft_test_neighbour.py", "VALUE = 7")
    path = write(tmp_path, "team.py", "import weft_test_neighbour as n\nVALUE = n.VALUE")
    before = list(sys.path)
    try:
        assert load_module(path).VALUE == 7
    finally:
        sys.modules.pop("weft_test_neighbour", None)
    assert sys.path == before


def test_files_of_the_same_name_stay_apart(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = load_module(write(tmp_path / "a", "team.py", "VALUE = 1"))
    second = load_module(write(tmp_path / "b", "team.py", "VALUE = 2"))
    assert (first.VALUE, second.VALUE) == (1, 2)
    assert first.__name__ != second.__name__
    assert load_module(tmp_path / "a/team.py").__name__ == first.__name__


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = (", "SyntaxError"),
        ("import weft_no_such_module", r"ModuleNotFoundError.*weft_no_such_module.*\(line 1\)"),
        ("x = 1\n\n1 / 0", r"ZeroDivisionError.*\(line 3\)"),
    ],
)
def test_file_that_does_not_import_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = write(tmp_path, "broken.py", text)
    before = set(sys.modules)
    with pytest.raises(CallerError, match=said) as caught:
        load_module(path)
    assert caught.value.__cause__ is not None
    assert not any("broken" in name for name in set(sys.modules) - before)


def test_only_program_needs_no_name() -> None:
    assert choose_program({"brief": 1}, None, file="team.py") == 1
    assert choose_program({"brief": 1, "merge": 2}, "merge", file="team.py") == 2


def test_program_named_like_the_file_needs_no_name() -> None:
    programs = {"lookup": 1, "analyst": 2}
    assert choose_program(programs, None, file="some/analyst.py") == 2
    assert choose_program(programs, "lookup", file="some/analyst.py") == 1
    assert choose_program({"brief": 1, "team": 2}, None, file="some/team.py") == 2


@pytest.mark.parametrize(
    ("programs", "wanted", "said"),
    [
        ({}, None, "defines no program"),
        ({"brief": 1, "merge": 2}, None, "team.py:brief or team.py:merge"),
        ({"brief": 1, "merge": 2}, "breif", "Did you mean 'brief'"),
    ],
)
def test_unclear_choice_is_refused(programs: dict[str, int], wanted: str | None, said: str) -> None:
    with pytest.raises(CallerError, match=said):
        choose_program(programs, wanted, file="team.py")

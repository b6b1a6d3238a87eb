from __future__ import annotations

import pytest

from weft.errors import CallerError, EngineDied, ProgramError
from weft.runtime.cli.problem import closest, problem_of


def test_callers_error_exits_with_2() -> None:
    problem = problem_of(ProgramError("No such program 'x'.", remedy="Name one."))
    assert problem.exit_code == 2
    assert (problem.kind, problem.what, problem.remedy) == (
        "ProgramError",
        "No such program 'x'.",
        "Name one.",
    )


def test_other_errors_exit_with_1() -> None:
    assert problem_of(EngineDied("The loop stopped.")).exit_code == 1


def test_interrupt_exits_with_130() -> None:
    assert problem_of(KeyboardInterrupt()).exit_code == 130


def test_foreign_error_says_where_it_was_raised() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        _ = 1 / int("0")
    problem = problem_of(caught.value)
    assert problem.exit_code == 1
    assert f"{__file__}:" in problem.what
    assert "--debug" in problem.remedy


def test_group_shows_its_first_error_and_counts_the_others() -> None:
    nested = ExceptionGroup("inner", [CallerError("First."), EngineDied("Second.")])
    problem = problem_of(ExceptionGroup("outer", [nested, EngineDied("Third.")]))
    assert (problem.what, problem.exit_code) == ("First. (and 2 more)", 2)
    assert problem_of(ExceptionGroup("outer", [EngineDied("Only.")])).what == "Only."


def test_problem_as_json_holds_type_what_and_remedy() -> None:
    shown = problem_of(CallerError("No.", remedy="Do.")).as_json()
    assert shown == {"error": {"type": "CallerError", "what": "No.", "remedy": "Do."}}


@pytest.mark.parametrize(
    ("name", "known", "advice"),
    [
        ("analist", ["analyst", "brief"], "Did you mean 'analyst'?"),
        ("zzz", ["b", "a"], "There is 'a', 'b'."),
        ("zzz", [], ""),
    ],
)
def test_closest_names(name: str, known: list[str], advice: str) -> None:
    assert closest(name, known) == advice

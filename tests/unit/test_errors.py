"""Errors that say where they were met."""

from __future__ import annotations

import pytest

from weft.errors import BudgetExceeded, ToolFailed, WeftError


@pytest.mark.parametrize(
    "error",
    [
        BudgetExceeded("Too much.", resource="tokens", remedy="Raise it."),
        ToolFailed("Too much.", tool="saw", remedy="Raise it."),
        WeftError("Too much."),
    ],
)
def test_an_error_within_a_place_is_the_same_error(error: WeftError) -> None:
    placed = error.within("Branch 2")
    assert type(placed) is type(error)
    assert str(placed) == f"Branch 2: {error}"
    assert (placed.what, placed.remedy) == ("Branch 2: Too much.", error.remedy)
    assert {**vars(placed), "what": ""} == {**vars(error), "what": ""}
    assert error.what == "Too much."

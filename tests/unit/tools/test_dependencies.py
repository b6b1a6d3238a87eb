from __future__ import annotations

import pytest

from weft.errors import ToolDefinitionError
from weft.programs import tool
from weft.tools import as_tool
from weft.tools.dependencies import check_depends

NAMES = ("a", "b", "c", "d")


def test_what_an_argument_needs_is_all_it_rests_on_in_the_schemas_order() -> None:
    depends = check_depends("t", NAMES, {"a": ["c"], "c": ("d", "b"), "b": ()})
    assert depends == {"a": ("b", "c", "d"), "c": ("b", "d")}


@pytest.mark.parametrize(
    ("depends", "problem"),
    [
        ({"a": ("e",)}, r"'t' depends on 'e'.*arguments are a, b, c, d"),
        ({"e": ("a",)}, "'e', which is no argument"),
        ({"a": ("a",)}, "circle"),
        ({"a": ("b",), "b": ("c",), "c": ("a",)}, "circle"),
        ({"a": "b"}, r"Give a tuple of names: \('b',\)"),
    ],
)
def test_what_cannot_be_is_refused(depends: dict[str, tuple[str, ...]], problem: str) -> None:
    with pytest.raises(ToolDefinitionError, match=problem):
        check_depends("t", NAMES, depends)


def test_tools_declare_it() -> None:
    def book(start: str, end: str) -> str:
        """Book."""
        return start + end

    assert as_tool(book).depends == {}
    assert as_tool(book, depends={"end": ("start",)}).depends == {"end": ("start",)}
    assert tool(depends={"end": ("start",)})(book).tool.depends == {"end": ("start",)}
    with pytest.raises(ToolDefinitionError, match="'book' depends on 'stop'"):
        as_tool(book, depends={"end": ("stop",)})

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field

from weft.programs.branch import Branch, branches_of
from weft.tools import as_tool


class Place(BaseModel):
    city: str


class Tree(BaseModel):
    children: list[Tree]


def branches(fn: Callable[..., str], **depends: tuple[str, ...]) -> dict[str, Branch]:
    tool = as_tool(fn, description="Do.", depends=depends)
    return {one.argument: one for one in branches_of(tool.parameters, tool.depends)}


def test_every_argument_has_its_own_schema_in_the_order_of_the_signature() -> None:
    def fn(b: str, a: Annotated[int, Field(ge=1)]) -> str:
        return b * a

    found = branches(fn)
    assert list(found) == ["b", "a"]
    assert json.loads(found["b"].schema) == {"type": "string"}
    assert json.loads(found["a"].schema) == {"type": "integer", "minimum": 1}


def test_definitions_come_with_what_refers_to_them() -> None:
    def fn(place: Place, size: int, tree: Tree | None = None) -> str:
        return f"{place}{size}{tree}"

    found = branches(fn)
    assert json.loads(found["place"].schema)["$defs"]["Place"]["type"] == "object"
    assert "$defs" not in found["size"].schema
    assert not found["tree"].is_left_out_as_null


@pytest.mark.parametrize(
    ("kind", "default", "is_null_absence"),
    [
        (int, 3, True),
        (Place, Place(city="x"), True),
        (Tree, Tree(children=[]), True),
        (Literal["a", "b"], "a", True),
        (list[int], [], True),
        (int | None, 3, False),
        (Literal["a", None], "a", False),
        (Place | None, None, False),
    ],
)
def test_null_leaves_an_optional_argument_out_unless_it_is_a_value(
    kind: object, default: object, is_null_absence: bool
) -> None:
    def fn(x: object = default) -> str:
        return str(x)

    fn.__annotations__["x"] = kind
    found = branches(fn)["x"]
    assert found.is_left_out_as_null is is_null_absence
    assert ({"type": "null"} in json.loads(found.schema).get("anyOf", [])) is (
        is_null_absence or kind in (int | None, Place | None)
    )


def test_what_is_needed_is_part_of_a_branch() -> None:
    def fn(a: str, b: str, c: str) -> str:
        return a + b + c

    found = branches(fn, a=("c",), c=("b",))
    assert found["a"].needs == (found["b"], found["c"])
    assert found["c"].needs == (found["b"],)
    assert branches(fn)["b"] == found["b"]
    assert branches(fn)["a"] != found["a"]

"""Tools by name."""

from __future__ import annotations

import pytest

from weft.errors import ToolArgumentsInvalid, ToolDefinitionError, ToolNotFound
from weft.tools import ToolRegistry, as_tool


def get_price(item: str) -> int:
    """Get a price."""
    return len(item)


def get_stock(item: str) -> int:
    """Get the stock."""
    return 2 * len(item)


REGISTRY = ToolRegistry([as_tool(get_price), as_tool(get_stock)])


def test_it_keeps_the_order_given() -> None:
    assert REGISTRY.names == ("get_price", "get_stock")
    assert [schema["name"] for schema in REGISTRY.json_schemas()] == ["get_price", "get_stock"]
    assert len(REGISTRY) == 2 and "get_price" in REGISTRY and "x" not in REGISTRY


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(ToolDefinitionError, match="'get_price'"):
        ToolRegistry([as_tool(get_price), as_tool(get_stock, name="get_price")])


def test_an_unknown_name_lists_close_ones_or_all() -> None:
    with pytest.raises(ToolNotFound, match=r"Did you mean get_price") as caught:
        REGISTRY.get("get_prize")
    assert caught.value.tool == "get_prize"
    with pytest.raises(ToolNotFound, match=r"The tools are: get_price, get_stock\."):
        REGISTRY.get("zzz" * 100_000)
    with pytest.raises(ToolNotFound, match=r"The tools are: none\."):
        ToolRegistry().get("a")


async def test_a_call_takes_json_text_or_a_mapping() -> None:
    assert await REGISTRY.call("get_price", '{"item": "mug"}') == 3
    assert await REGISTRY.call("get_stock", b'{"item": "mug"}') == 6
    assert await REGISTRY.call("get_stock", {"item": "mug"}) == 6


@pytest.mark.parametrize("text", ["", "[1]", '{"item": 1}', "{" * 100_000, '{"item": "a",}'])
async def test_bad_arguments_text_is_a_typed_error(text: str) -> None:
    with pytest.raises(ToolArgumentsInvalid) as caught:
        await REGISTRY.call("get_price", text)
    assert caught.value.tool == "get_price"

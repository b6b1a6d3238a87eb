"""as_tool and Tool: what may become a tool, what a call checks, what a tool can do to us."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, TypedDict, cast

import pytest
from pydantic import BaseModel, ConfigDict, Field

from weft.errors import (
    InvalidRequest,
    ToolArgumentsInvalid,
    ToolDefinitionError,
    ToolFailed,
    ToolResultInvalid,
    ToolTimeout,
    ToolUnavailable,
)
from weft.tools import IdemKey, Tool, as_tool


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Address(BaseModel):
    """Where someone lives."""

    street: str
    number: int = Field(ge=1)


class Point(TypedDict):
    x: float
    y: float


@dataclass(frozen=True)
class Receipt:
    order: str
    total: Decimal


def everything(
    city: str,
    count: int,
    ratio: Annotated[float, Field(gt=0, description="A share.")],
    colour: Colour,
    address: Address,
    tags: tuple[str, ...] = (),
    when: date | None = None,
    *,
    mode: Literal["fast", "slow"] = "fast",
    schema: str = "public",
) -> str:
    """Try every kind of argument.

    Args:
        city: Name of the city,
            in English.
        count (int): How many.
        ratio: Overruled by the annotation.

    Returns:
        A line.
    """
    return repr((city, count, ratio, colour, address, tags, when, mode, schema))


class Equivalent(BaseModel):
    model_config = ConfigDict(extra="forbid")

    city: str = Field(description="Name of the city, in English.")
    count: int = Field(description="How many.")
    ratio: float = Field(gt=0, description="A share.")
    colour: Colour
    address: Address
    tags: tuple[str, ...] = ()
    when: date | None = None
    mode: Literal["fast", "slow"] = "fast"
    schema_: str = Field("public", alias="schema")


def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


async def add_async(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


def pydantic_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Pydantic's own schema without the titles it derives from names."""
    schema = model.model_json_schema()
    del schema["title"]
    named = [schema, *schema.get("$defs", {}).values()]
    for part in named:
        for field in part.get("properties", {}).values():
            field.pop("title", None)
    return schema


def test_schema_is_pydantics_own_for_the_equivalent_model() -> None:
    tool = as_tool(everything)
    assert tool.parameters == pydantic_schema(Equivalent)
    assert tool.json_schema() == {
        "name": "everything",
        "description": "Try every kind of argument.",
        "parameters": tool.parameters,
    }


def test_schema_reads_type_first_and_keeps_the_order_of_the_signature() -> None:
    parameters = as_tool(everything).parameters
    assert next(iter(parameters)) == "type"
    properties = cast("dict[str, object]", parameters["properties"])
    assert list(properties) == [
        "city", "count", "ratio", "colour", "address", "tags", "when", "mode", "schema",
    ]  # fmt: skip


async def test_json_arguments_arrive_as_the_annotated_types() -> None:
    arguments = {
        "city": "Oslo",
        "count": 2,
        "ratio": 1,
        "colour": "red",
        "address": {"street": "High", "number": 3},
        "tags": ["a"],
        "when": "2026-11-20",
        "schema": "s",
    }
    address = Address(street="High", number=3)
    expected = ("Oslo", 2, 1.0, Colour.RED, address, ("a",), date(2026, 11, 20), "fast", "s")
    assert await as_tool(everything).invoke(arguments) == repr(expected)


async def test_python_values_through_bind_arrive_unchanged() -> None:
    address = Address(street="High", number=3)
    bound = as_tool(everything).bind("Oslo", 2, 0.5, Colour.BLUE, address, when=date(2026, 1, 1))
    assert bound.key is None
    expected = ("Oslo", 2, 0.5, Colour.BLUE, address, (), date(2026, 1, 1), "fast", "public")
    assert await as_tool(everything).invoke(bound.arguments) == repr(expected)


@pytest.mark.parametrize("fn", [add, add_async])
async def test_sync_and_async_functions_behave_the_same(fn: Callable[..., Any]) -> None:
    tool = as_tool(fn)
    assert await tool.invoke({"a": 2}) == 3
    assert await tool.invoke({"a": 2, "b": 5}) == 7
    assert tool.num_running == 0


async def test_methods_and_callable_objects_are_tools() -> None:
    class Counter:
        def __init__(self) -> None:
            self.value = 0

        def bump(self, by: int) -> int:
            """Count on."""
            self.value += by
            return self.value

        async def __call__(self, by: int) -> int:
            """Count on."""
            return self.bump(by)

    counter = Counter()
    assert await as_tool(counter.bump).invoke({"by": 2}) == 2
    assert await as_tool(counter, name="count").invoke({"by": 2}) == 4


def _untyped(x) -> int:  # type: ignore[no-untyped-def] # pyright: ignore
    """Doc."""
    return 0


def _any(x: Any) -> int:
    """Doc."""
    return 0


def _star(*x: int) -> int:
    """Doc."""
    return 0


def _stars(**x: int) -> int:
    """Doc."""
    return 0


def _positional(x: int, /) -> int:
    """Doc."""
    return 0


def _opaque(x: threading.Lock) -> int:
    """Doc."""
    return 0


def _callback(x: Callable[[], int]) -> int:
    """Doc."""
    return 0


def _wrong_default(x: int = None) -> int:  # type: ignore[assignment] # pyright: ignore
    """Doc."""
    return 0


def _nan_default(x: float = float("nan")) -> int:
    """Doc."""
    return 0


def _reading_key(key: IdemKey) -> int:
    """Doc."""
    return 0


UNFILLABLE: list[tuple[Callable[..., int], str]] = [
    (_untyped, "x"),
    (_any, "x"),
    (_star, "x"),
    (_stars, "x"),
    (_positional, "x"),
    (_opaque, "x"),
    (_callback, "x"),
    (_wrong_default, "x"),
    (_nan_default, "x"),
    (_reading_key, "key"),
]


@pytest.mark.parametrize(("fn", "argument"), UNFILLABLE)
def test_an_argument_no_model_could_fill_in_is_named(fn: Callable[..., int], argument: str) -> None:
    with pytest.raises(ToolDefinitionError, match=f"Argument '{argument}' of tool") as caught:
        as_tool(fn)
    assert fn.__name__ in str(caught.value)
    assert caught.value.remedy


def _no_doc(x: int) -> int:
    return x


def _no_return(x: int):  # type: ignore[no-untyped-def] # pyright: ignore
    """Doc."""


def _returns_lock() -> threading.Lock:
    """Doc."""
    return threading.Lock()


def _unknown_type(x: Missing) -> int:  # type: ignore[name-defined] # noqa: F821 # pyright: ignore
    """Doc."""
    return 0


def _generator() -> Iterator[int]:
    """Doc."""
    yield 1


async def _async_generator() -> AsyncIterator[int]:
    """Doc."""
    yield 1


NO_TOOLS: list[tuple[Callable[..., Any], str]] = [
    (_no_doc, "description ''"),
    (_no_return, "no return type"),
    (_returns_lock, "not data"),
    (_unknown_type, "annotations"),
    (_generator, "generator"),
    (_async_generator, "generator"),
    (lambda: 1, "'<lambda>'"),
    (functools.partial(add, 1), "not a function"),
    (Receipt, "not a function"),
]


@pytest.mark.parametrize(("fn", "match"), NO_TOOLS)
def test_a_function_that_cannot_be_a_tool_is_refused(fn: Callable[..., Any], match: str) -> None:
    with pytest.raises(ToolDefinitionError, match=match):
        as_tool(fn)


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(ToolDefinitionError, match="timeout_s 0"):
        as_tool(add, timeout_s=0)
    with pytest.raises(ToolDefinitionError, match="timeout_s inf"):
        as_tool(add, timeout_s=float("inf"))
    with pytest.raises(ToolDefinitionError, match="max_concurrency 0"):
        as_tool(add, max_concurrency=0)
    with pytest.raises(ToolDefinitionError, match="name 'a b'"):
        as_tool(add, name="a b")
    with pytest.raises(ToolDefinitionError, match="effect 'maybe'"):
        as_tool(add, effect="maybe")  # type: ignore[call-overload] # pyright: ignore


async def test_every_problem_of_the_arguments_is_listed() -> None:
    with pytest.raises(ToolArgumentsInvalid) as caught:
        await as_tool(everything).invoke(
            {"city": 1, "count": "2", "ratio": -1.0, "colour": "green", "extra": 0}
        )
    text = str(caught.value)
    for place in ("city", "count", "ratio", "colour", "address", "extra"):
        assert f"arguments.{place}: " in text
    assert caught.value.tool == "everything"


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), "\ud800", object(), 1.5, "3", True, 10**5000],
    ids=lambda value: type(value).__name__,
)
async def test_a_hostile_or_wrong_value_is_a_typed_error(value: object) -> None:
    with pytest.raises(ToolArgumentsInvalid):
        await as_tool(add).invoke({"a": value})


async def test_bottomless_and_oversized_arguments_are_typed_errors() -> None:
    deep: object = 0
    for _ in range(10_000):
        deep = [deep]
    with pytest.raises(ToolArgumentsInvalid, match="depth"):
        await as_tool(add).invoke({"a": deep})
    with pytest.raises(ToolArgumentsInvalid, match="cap"):
        await as_tool(add).invoke({"a": "x" * 1_100_000})


async def test_a_write_tool_receives_its_key_and_hides_it() -> None:
    def refund(order: str, *, key: IdemKey) -> str:
        """Refund an order."""
        return f"{order}/{key}"

    tool = as_tool(refund, effect="write")
    assert "key" not in str(tool.parameters)
    assert await tool.invoke({"order": "A"}, key="run/1") == "A/run/1"
    with pytest.raises(InvalidRequest, match="idempotency key"):
        await tool.invoke({"order": "A"})
    with pytest.raises(ToolArgumentsInvalid, match=r"arguments\.key"):
        await tool.invoke({"order": "A", "key": "forged"}, key="run/1")
    assert tool.bind("A", key=IdemKey("mine")) == ({"order": "A"}, "mine")


async def test_an_ordinary_argument_may_be_called_key() -> None:
    def look_up(key: str) -> str:
        """Look up."""
        return key

    assert await as_tool(look_up).invoke({"key": "k"}, key="ignored") == "k"


async def test_results_round_trip_as_data() -> None:
    def pay(order: str) -> Receipt:
        """Pay."""
        return Receipt(order, Decimal("1.50"))

    tool = as_tool(pay)
    receipt = await tool.invoke({"order": "A"})
    assert tool.dump(receipt) == {"order": "A", "total": "1.50"}
    assert tool.load(tool.dump(receipt)) == receipt
    with pytest.raises(ToolResultInvalid):
        tool.load({"order": 1})


def _list_result(value: object) -> Tool[[], list[float]]:
    def give() -> list[float]:
        """Give."""
        return value  # type: ignore[return-value] # pyright: ignore

    return as_tool(give)


def _endless() -> list[object]:
    cycle: list[object] = []
    cycle.append(cycle)
    return cycle


@pytest.mark.parametrize(
    "value", ["text", ["1"], [float("nan")], (1.0,), None, threading.Lock(), _endless()]
)
async def test_a_result_of_another_type_is_refused(value: object) -> None:
    with pytest.raises(ToolResultInvalid, match="Tool 'give' returned"):
        await _list_result(value).invoke({})


async def test_a_result_annotated_as_anything_must_still_be_data() -> None:
    def give(kind: str) -> object:
        """Give."""
        kinds: dict[str, object] = {"lock": threading.Lock(), "text": "\udcff", "cycle": _endless()}
        return kinds[kind]

    for kind in ("lock", "text", "cycle"):
        with pytest.raises(ToolResultInvalid):
            await as_tool(give).invoke({"kind": kind})


async def test_a_flood_is_refused_by_size() -> None:
    def flood() -> str:
        """Flood."""
        return "x" * 2_000_000

    with pytest.raises(ToolResultInvalid, match="2000002 bytes"):
        await as_tool(flood).invoke({})
    assert len(await as_tool(flood, max_result_bytes=2_000_002).invoke({})) == 2_000_000


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


CRASHES: list[BaseException] = [
    ValueError("boom"),
    SystemExit(3),
    StopIteration(1),
    RecursionError(),
    MemoryError(),
    Unprintable(),
    ToolFailed("other", tool="other"),
]


@pytest.mark.parametrize("error", CRASHES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("is_async", [False, True])
async def test_whatever_a_tool_raises_becomes_tool_failed(
    error: BaseException, is_async: bool
) -> None:
    def crash() -> int:
        """Crash."""
        raise error

    async def crash_async() -> int:
        """Crash."""
        raise error

    with pytest.raises(ToolFailed, match=type(error).__name__) as caught:
        await (as_tool(crash_async) if is_async else as_tool(crash)).invoke({})
    cause = caught.value.__cause__
    assert cause is error or (isinstance(cause, RuntimeError) and cause.__cause__ is error)


async def test_keyboard_interrupt_in_a_thread_and_a_self_made_cancellation_become_failures() -> (
    None
):
    def interrupt() -> int:
        """Interrupt."""
        raise KeyboardInterrupt

    def cancel_in_thread() -> int:
        """Cancel."""
        raise asyncio.CancelledError

    async def cancel() -> int:
        """Cancel."""
        raise asyncio.CancelledError

    with pytest.raises(ToolFailed, match="KeyboardInterrupt"):
        await as_tool(interrupt).invoke({})
    with pytest.raises(ToolFailed, match="CancelledError"):
        await as_tool(cancel_in_thread).invoke({})
    with pytest.raises(ToolFailed, match="CancelledError"):
        await as_tool(cancel).invoke({})


async def test_a_tools_own_typed_error_passes_unchanged() -> None:
    error = ToolFailed("No such order.", tool="crash")

    def crash() -> int:
        """Crash."""
        raise error

    with pytest.raises(ToolFailed) as caught:
        await as_tool(crash).invoke({})
    assert caught.value is error


async def test_the_callers_context_reaches_the_thread() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("seen")

    def read() -> str:
        """Read."""
        return variable.get()

    assert await as_tool(read).invoke({}) == "seen"


async def test_a_hung_thread_is_abandoned_counted_and_cannot_exhaust_the_program() -> None:
    release = threading.Event()

    def hang() -> int:
        """Hang."""
        release.wait()
        return 1

    tool = as_tool(hang, timeout_s=0.005, max_concurrency=2)
    calls = [tool.invoke({}) for _ in range(5)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [ToolTimeout] * 2 + [ToolUnavailable] * 3
    assert (tool.num_abandoned, tool.num_running) == (2, 2)
    with pytest.raises(ToolUnavailable, match="2 earlier calls"):
        await tool.invoke({})
    threads = [thread for thread in threading.enumerate() if thread.name == "tool hang"]
    assert len(threads) == 2 and all(thread.daemon for thread in threads)
    release.set()
    await asyncio.gather(*(asyncio.to_thread(thread.join) for thread in threads))
    assert (tool.num_abandoned, tool.num_running) == (0, 0)
    assert await tool.invoke({}) == 1


async def test_an_async_tool_is_cancelled_by_its_timeout() -> None:
    ended: list[str] = []

    async def hang() -> int:
        """Hang."""
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cleaned up")
        return 1

    tool = as_tool(hang, timeout_s=0.005)
    with pytest.raises(ToolTimeout, match=r"within 0\.005 s"):
        await tool.invoke({})
    assert ended == ["cleaned up"]
    assert tool.num_running == 0


def test_a_tool_serves_one_event_loop_after_another() -> None:
    tool = as_tool(add_async, max_concurrency=1)

    async def twice() -> int:
        return sum(await asyncio.gather(tool.invoke({"a": 1}), tool.invoke({"a": 2})))

    assert asyncio.run(twice()) == 5
    assert asyncio.run(twice()) == 5


def test_a_thread_that_outlives_its_loop_ends_quietly() -> None:
    release = threading.Event()

    def hang() -> int:
        """Hang."""
        release.wait()
        return 1

    tool = as_tool(hang, timeout_s=0.002)
    with pytest.raises(ToolTimeout):
        asyncio.run(tool.invoke({}))
    release.set()
    for thread in threading.enumerate():
        if thread.name == "tool hang":
            thread.join()
    assert tool.num_running == 0


def test_type_checkers_see_the_functions_types() -> None:
    plain: Tool[[int, int], int] = as_tool(typed_add)
    awaited: Tool[[int, int], int] = as_tool(typed_add_async)
    assert plain.bind(1, 2) == awaited.bind(1, 2)


def typed_add(a: int, b: int) -> int:
    """Add."""
    return a + b


async def typed_add_async(a: int, b: int) -> int:
    """Add."""
    return a + b

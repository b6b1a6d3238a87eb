"""A typed function that a model or a program can call."""

from __future__ import annotations

import functools
import inspect
import math
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Generic, Literal, ParamSpec, TypedDict, TypeVar, Unpack, cast, overload

from weft.errors import ToolDefinitionError
from weft.tools.dependencies import check_depends
from weft.tools.docstring import parse_docstring
from weft.tools.invoker import Invoker
from weft.tools.resources import ToolResources
from weft.tools.result import ResultType
from weft.tools.signature import Bound, Signature, underlying

__all__ = ["Effect", "Tool", "ToolOptions", "as_tool"]

P = ParamSpec("P")
T = TypeVar("T")

Effect = Literal["pure", "read", "write"]
"""``pure`` depends on its arguments alone, ``read`` on the world, ``write`` changes it."""

MAX_RESULT_BYTES = 1_048_576
NOTHING_KNOWN = ToolResources()
_EFFECTS = frozenset({"pure", "read", "write"})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


class ToolOptions(TypedDict, total=False):
    """What a tool can declare besides its function."""

    name: str | None
    """``None`` takes the function's name."""
    description: str | None
    """``None`` takes the docstring up to its first section."""
    effect: Effect
    """``read`` unless told."""
    timeout_s: float | None
    """60 unless told; ``None`` waits for ever."""
    max_concurrency: int | None
    """Most calls alive at once; ``None`` is 16 threads, or 1024 tasks when asynchronous."""
    max_result_bytes: int
    """Most bytes of a result as JSON; 1 MiB unless told."""
    depends: Mapping[str, Sequence[str]]
    """Arguments that can only be chosen once others are, ``{"to": ("from",)}``: a model that
    decodes arguments in parallel decodes these after those."""
    resources: ToolResources
    """What a call needs; nothing is known unless told."""


class Tool(Generic[P, T]):
    """A function with a name, a JSON Schema, an effect and limits. Made by ``as_tool``.

    It belongs to no event loop; its limits hold over all loops that call it.
    """

    def __init__(self, fn: Callable[P, object], *, is_async: bool, options: ToolOptions) -> None:
        """Raises ToolDefinitionError, naming the function, the argument and the remedy."""
        docstring = parse_docstring(inspect.getdoc(underlying(fn)) or "")
        self._fn = fn
        own_name: str = getattr(fn, "__name__", type(fn).__name__)
        self._name = options.get("name") or own_name
        self._effect: Effect = options.get("effect", "read")
        self._timeout_s = options.get("timeout_s", 60.0)
        self._resources = options.get("resources", NOTHING_KNOWN)
        self._description = options.get("description") or docstring.description
        _check_options(self._name, self._description, self._effect, self._timeout_s, options)
        self._signature = Signature(
            self._name,
            fn,
            can_have_key=self._effect == "write",
            descriptions=docstring.parameters,
        )
        properties = cast("Mapping[str, object]", self.parameters["properties"])
        self._depends = check_depends(self._name, properties, options.get("depends", {}))
        _check_returns(self._name, self._signature.returns)
        max_bytes = options.get("max_result_bytes", MAX_RESULT_BYTES)
        self._result: ResultType[T] = ResultType(self._name, self._signature.returns, max_bytes)
        self._invoker = Invoker(
            self._name,
            fn,
            is_async=is_async,
            timeout_s=self._timeout_s,
            max_concurrency=options.get("max_concurrency"),
        )

    def __repr__(self) -> str:
        return f"<Tool {self._name!r} ({self._effect})>"

    @property
    def name(self) -> str:
        return self._name

    @property
    def description(self) -> str:
        return self._description

    @property
    def effect(self) -> Effect:
        return self._effect

    @property
    def timeout_s(self) -> float | None:
        return self._timeout_s

    @property
    def resources(self) -> ToolResources:
        return self._resources

    @property
    def fn(self) -> Callable[P, object]:
        """The function itself; called directly it has no timeout and no checks."""
        return self._fn

    @property
    def parameters(self) -> Mapping[str, object]:
        """JSON Schema of the arguments object. Not to be mutated."""
        return self._signature.schema

    @property
    def depends(self) -> Mapping[str, tuple[str, ...]]:
        """By argument, those it depends on, directly or not, in the schema's order. Not to be
        mutated."""
        return self._depends

    @property
    def num_running(self) -> int:
        """Gauge: calls alive now, abandoned ones included."""
        return self._invoker.slots.num_held

    @property
    def num_abandoned(self) -> int:
        """Gauge: calls that still run although they timed out or were cancelled."""
        return self._invoker.slots.num_abandoned

    def json_schema(self) -> dict[str, object]:
        """The form chat templates take: ``{"name", "description", "parameters"}``."""
        return {
            "name": self._name,
            "description": self._description,
            "parameters": self._signature.schema,
        }

    def bind(self, *args: P.args, **kwargs: P.kwargs) -> Bound:
        """Name the arguments of a typed Python call, for ``invoke``. Values stay as they are.

        Raises ToolArgumentsInvalid for an argument the function does not have.
        """
        return self._signature.bind(args, kwargs)

    def check(self, arguments: Mapping[str, object]) -> None:
        """What ``invoke`` checks before it runs the function. Raises ToolArgumentsInvalid."""
        self._signature.validate(arguments)

    async def invoke(self, arguments: Mapping[str, object], *, key: str | None = None) -> T:
        """Check the arguments, run the function within its limits, check the result.

        ``arguments`` is JSON-shaped data or Python values that encode as such. ``key`` reaches
        the IdemKey argument of a write tool. A synchronous function runs in a thread, which a
        timeout or a cancellation abandons; an asynchronous one is cancelled.

        Raises: ToolArgumentsInvalid, ToolTimeout, ToolUnavailable, ToolFailed (from the cause),
        ToolResultInvalid; InvalidRequest when a needed key is missing.
        """
        checked = self._signature.validate(arguments)
        keyed = self._signature.with_key(checked, key)
        return self._result.check(await self._invoker.run(keyed))

    def dump(self, result: T) -> object:
        """A result of ``invoke`` as JSON-shaped data, to be recorded or shown to a model."""
        return self._result.dump(result)

    def load(self, data: object) -> T:
        """The result that ``dump`` turned into data. Raises ToolResultInvalid."""
        return self._result.load(data)


@overload
def as_tool(
    fn: Callable[P, Coroutine[Any, Any, T]], **options: Unpack[ToolOptions]
) -> Tool[P, T]: ...
@overload
def as_tool(fn: Callable[P, T], **options: Unpack[ToolOptions]) -> Tool[P, T]: ...
def as_tool(fn: Callable[P, Any], **options: Unpack[ToolOptions]) -> Tool[P, Any]:
    """Make a Tool of a typed function, plain or ``async``.

    Raises ToolDefinitionError for an argument without a type, ``*args``, a type without a JSON
    Schema, a missing description or return annotation, and options out of range.
    """
    target = _checked_function(fn)
    return Tool(fn, is_async=inspect.iscoroutinefunction(target), options=options)


def _checked_function(fn: object) -> Callable[..., object]:
    """The function behind ``fn``; refuses what has no signature and no docstring of its own."""
    if not callable(fn) or isinstance(fn, (type, functools.partial)):
        raise ToolDefinitionError(
            f"{fn!r} is not a function.", remedy="Write a typed `def` that calls it."
        )
    target = underlying(fn)
    if inspect.isgeneratorfunction(target) or inspect.isasyncgenfunction(target):
        raise ToolDefinitionError(f"{fn!r} is a generator.", remedy="Return one result.")
    return target


def _check_options(
    name: str,
    description: str,
    effect: str,
    timeout_s: float | None,
    options: ToolOptions,
) -> None:
    """Refuse what would only fail when a model calls."""
    max_concurrency = options.get("max_concurrency")
    is_timely = timeout_s is None or (timeout_s > 0 and math.isfinite(timeout_s))
    is_roomy = max_concurrency is None or max_concurrency >= 1
    max_bytes = options.get("max_result_bytes", MAX_RESULT_BYTES)
    name_rule = "Use letters, digits, '_' and '-', at most 64, not a digit first; or pass name=."
    _require(_NAME.fullmatch(name) is not None, name, "name", name, name_rule)
    doc_rule = "Write a docstring, or pass description=: the model chooses tools by it."
    _require(bool(description.strip()), name, "description", description, doc_rule)
    _require(effect in _EFFECTS, name, "effect", effect, "It is 'pure', 'read' or 'write'.")
    _require(is_timely, name, "timeout_s", timeout_s, "It is positive, or None.")
    _require(is_roomy, name, "max_concurrency", max_concurrency, "It is at least 1, or None.")
    _require(max_bytes >= 1, name, "max_result_bytes", max_bytes, "It is at least 1.")


def _check_returns(name: str, annotation: object) -> None:
    if annotation is inspect.Parameter.empty:
        raise ToolDefinitionError(
            f"Tool {name!r} has no return type.", remedy="Annotate what it returns: `-> str`."
        )


def _require(is_fine: bool, tool: str, option: str, got: object, remedy: str) -> None:
    if not is_fine:
        raise ToolDefinitionError(f"Tool {tool!r} has the {option} {got!r}.", remedy=remedy)

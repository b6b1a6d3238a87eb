"""What a Step is to do: the order that the DSL hands to whoever runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from weft.programs.budget import Budget
from weft.programs.context import Context
from weft.programs.handle import Step, StepKind
from weft.programs.lane_turn import LaneTurn
from weft.programs.lead import Lead
from weft.programs.output import Output
from weft.programs.prompt import Prompt
from weft.programs.retry import NO_RETRY, Retry
from weft.programs.sampling import Sampling

__all__ = ["Call", "FunctionCall", "GenCall"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GenCall:
    """Ask the engine for text."""

    name: str
    prompt: Prompt | Context | LaneTurn
    output: Output[Any]
    sampling: Sampling
    n: int | None = None
    """``None`` gives a Step with one result; a number gives Candidates."""
    keeps_stop: bool = False
    """The text ends with the stop string that ended it, if one did."""
    is_raw: bool = False
    """The prompt is plain text to continue: no chat template."""
    lead: Lead = ""
    """Stands after the prompt, as the beginning of what is said."""
    priority: int = 0
    tool_schemas: tuple[Mapping[str, object], ...] = ()
    """Tools that the chat template shows: ``{"name", "description", "parameters"}`` each."""
    inputs: tuple[Step[Any], ...] = ()
    """Steps within the prompt and the lead: data edges."""
    timeout_s: float | None = None
    retry: Retry = NO_RETRY


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionCall:
    """Run a function: a step, tool, verifier or program."""

    name: str
    kind: StepKind
    function: Callable[..., object]
    """May return an awaitable; a plain function runs on the loop and must be quick."""
    args: tuple[object, ...] = ()
    kwargs: Mapping[str, object] = field(default_factory=dict[str, object])
    inputs: tuple[Step[Any], ...] = ()
    """Steps within the arguments: data edges."""
    takes_handles: bool = False
    """The function wants the Steps themselves: it starts at once and decides what to wait for."""
    is_structural: bool = False
    """The function only submits Steps: a planner may run it without doing any work."""
    check: Callable[[object], object] | None = None
    """Turns the result into what the Step gives; raises when it is wrong."""
    budget: Budget | None = None
    """Narrows what is inherited."""
    timeout_s: float | None = None
    retry: Retry = NO_RETRY
    abandon: Callable[[], None] | None = None
    """Called when the Step ends before the function was ever called."""


Call = GenCall | FunctionCall

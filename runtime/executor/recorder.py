"""Records of Steps, as the store keeps them."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Literal, Protocol

from pydantic_core import PydanticSerializationError, to_json

from weft.errors import ProgramError
from weft.programs.handle import Step
from weft.runtime.executor.state import RunState
from weft.runtime.journal.record import StepRecord
from weft.runtime.observe.usage import Usage

__all__ = ["EndStatus", "Recordable", "data_json", "input_json", "status_of", "step_record"]

EndStatus = Literal["finished", "failed", "cancelled"]


class Recordable(Protocol):
    """An execution that has ended, as far as its record needs it."""

    @property
    def state(self) -> RunState: ...
    @property
    def step(self) -> Step[object]: ...
    @property
    def parent(self) -> str: ...
    @property
    def inputs(self) -> tuple[str, ...]: ...
    @property
    def usage(self) -> Usage: ...
    @property
    def num_attempts(self) -> int: ...
    @property
    def started_s(self) -> float: ...
    @property
    def ended_s(self) -> float: ...

    def input_data(self) -> object: ...
    def output_data(self, value: object) -> object: ...


def status_of(error: BaseException | None) -> EndStatus:
    """How something with this error has ended."""
    if error is None:
        return "finished"
    return "cancelled" if isinstance(error, asyncio.CancelledError) else "failed"


def step_record(execution: Recordable, value: object, error: BaseException | None) -> StepRecord:
    """The record of an ended Step. Raises ProgramError when the result is not data."""
    step, state = execution.step, execution.state
    asked = input_json(execution.input_data())
    output = None
    if error is None:
        output = data_json(execution.output_data(value), f"The result of Step {step.lineage!r}")
    offset = state.clock.epoch() - state.elapsed_s()
    return StepRecord(
        run_id=state.run_id,
        lineage=step.lineage,
        name=step.name,
        kind=step.kind,
        parent=execution.parent,
        inputs=execution.inputs,
        input_hash=hashlib.blake2b(asked.encode(), digest_size=16).hexdigest(),
        input_json=asked,
        status=status_of(error),
        output_json=output,
        error="" if error is None else f"{type(error).__name__}: {error}",
        num_attempts=execution.num_attempts,
        usage=execution.usage,
        started_at=offset + execution.started_s,
        ended_at=offset + execution.ended_s,
    )


def data_json(value: object, what: str) -> str:
    """A value as JSON; raises ProgramError naming ``what`` is not data."""
    try:
        return to_json(value).decode()
    except (PydanticSerializationError, ValueError) as error:
        raise ProgramError(
            f"{what} cannot be recorded: {value!r} is not data.",
            remedy="Return JSON-able values, dataclasses or pydantic models.",
        ) from error


def input_json(value: object) -> str:
    """A call's arguments as JSON. What is not data stands for itself by its name or type."""
    return to_json(value, fallback=_describe).decode()


def _describe(value: object) -> object:
    if isinstance(value, Step):
        return {"step": value.lineage}
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    owner = value if name else type(value)
    return f"{owner.__module__}:{name or type(value).__qualname__}"

"""What became of a Run that the command line has started."""

from __future__ import annotations

import json
import time
import traceback
from dataclasses import dataclass, replace
from typing import Any

from pydantic_core import to_jsonable_python

from weft.runtime.cli.problem import FAILED, Problem, problem_of
from weft.runtime.executor import Run
from weft.runtime.observe import Usage

__all__ = ["Outcome", "outcome_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a Run ended."""

    run_id: str
    program: str
    status: str
    seed: int
    engine: str
    value: object
    """JSON-shaped; ``None`` unless finished."""
    problem: Problem | None
    usage: Usage
    seconds: float
    """From its start to its end; loading the model comes before."""

    @property
    def text(self) -> str:
        """The value as people are shown it."""
        if isinstance(self.value, str):
            return self.value
        return json.dumps(self.value, indent=2, ensure_ascii=False)

    def as_json(self) -> dict[str, object]:
        usage = self.usage
        return {
            "run_id": self.run_id,
            "program": self.program,
            "status": self.status,
            "seed": self.seed,
            "engine": self.engine,
            "result": self.value,
            "num_prompt_tokens": usage.num_prompt_tokens,
            "num_cached_tokens": usage.num_cached_tokens,
            "num_generated_tokens": usage.num_generated_tokens,
            "num_requests": usage.num_requests,
            "num_tool_calls": usage.num_tool_calls,
            "kv_hit_rate": usage.hit_rate,
            "seconds": self.seconds,
            **(self.problem.as_json() if self.problem else {}),
        }


async def outcome_of(run: Run[Any], *, debug: bool = False) -> Outcome:
    """Wait for a Run that was just started. A Run that failed is data: only an interrupt is
    raised, and cancels the Run down to the engine. ``debug`` shows the traceback of a failure."""
    started_s = time.monotonic()
    value, problem = None, None
    async with run:
        try:
            value = await run.result()
        except Exception as error:
            if debug:
                traceback.print_exception(error)
            problem = replace(problem_of(error), exit_code=FAILED)
    return Outcome(
        run_id=run.run_id,
        program=run.program.path,
        status=run.status,
        seed=run.seed,
        engine=run.engine,
        value=to_jsonable_python(value, fallback=repr),
        problem=problem,
        usage=run.usage,
        seconds=time.monotonic() - started_s,
    )

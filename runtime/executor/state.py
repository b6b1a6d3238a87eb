"""What all executions of one Run share: where they run and what they tell."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from weft.programs.handle import Step
from weft.runtime.engine.protocol import Engine
from weft.runtime.executor.clock import Clock
from weft.runtime.executor.encoder import RunEncoder
from weft.runtime.journal.record import StepRecord
from weft.runtime.journal.store import Store
from weft.runtime.observe.bus import EventLog, Observer
from weft.runtime.observe.event import PartialEvent, StepEvent, StepPhase, TokenEvent
from weft.runtime.observe.usage import Usage

__all__ = ["NO_USAGE", "RunState"]

NO_USAGE = Usage()


class RunState:
    """One Run's surroundings, its event log, and counters that add up over its Steps."""

    __slots__ = (
        "capabilities",
        "clock",
        "encoder",
        "engine",
        "late_records",
        "log",
        "loop",
        "num_cached_tokens",
        "num_generated_tokens",
        "num_prompt_tokens",
        "num_requests",
        "num_tool_calls",
        "priority",
        "run_id",
        "seed",
        "started_s",
        "store",
        "tenant",
        "work_seconds",
    )

    def __init__(
        self,
        *,
        run_id: str,
        engine: Engine,
        clock: Clock,
        store: Store | None,
        seed: int,
        tenant: str,
        priority: int,
        observers: Sequence[Observer],
    ) -> None:
        self.run_id = run_id
        self.engine = engine
        self.encoder = RunEncoder(engine)
        self.capabilities = engine.capabilities
        self.clock = clock
        self.store = store
        self.seed = seed
        self.tenant = tenant
        self.priority = priority
        self.loop = asyncio.get_running_loop()
        self.log = EventLog(observers)
        self.started_s = clock.now()
        self.late_records: list[StepRecord] = []
        """Of Steps that were cancelled: written when the Run ends."""
        self.num_prompt_tokens = 0
        self.num_cached_tokens = 0
        self.num_generated_tokens = 0
        self.num_requests = 0
        self.num_tool_calls = 0
        self.work_seconds = 0.0

    @property
    def usage(self) -> Usage:
        """The sum over generations and tool calls so far."""
        return Usage(
            num_prompt_tokens=self.num_prompt_tokens,
            num_cached_tokens=self.num_cached_tokens,
            num_generated_tokens=self.num_generated_tokens,
            num_requests=self.num_requests,
            num_tool_calls=self.num_tool_calls,
            seconds=self.work_seconds,
        )

    def elapsed_s(self) -> float:
        """Seconds since the Run started, on its clock."""
        return self.clock.now() - self.started_s

    def tell_step(
        self,
        step: Step[object],
        phase: StepPhase,
        *,
        parent: str,
        inputs: tuple[str, ...] = (),
        after: tuple[str, ...] = (),
        summary: str = "",
        usage: Usage = NO_USAGE,
    ) -> None:
        """A Step changes phase."""
        log = self.log
        log.append(
            StepEvent(
                run_id=self.run_id,
                seq=len(log.events) + 1,
                time_s=self.clock.now() - self.started_s,
                lineage=step.lineage,
                name=step.name,
                kind=step.kind,
                phase=phase,
                parent=parent,
                inputs=inputs,
                after=after,
                summary=summary,
                usage=usage,
            )
        )

    def tell_text(self, lineage: str, index: int, text: str, num_tokens: int) -> None:
        """A sequence has grown."""
        log = self.log
        log.append(
            TokenEvent(
                run_id=self.run_id,
                seq=len(log.events) + 1,
                time_s=self.clock.now() - self.started_s,
                lineage=lineage,
                index=index,
                text=text,
                num_tokens=num_tokens,
            )
        )

    def tell_partial(self, lineage: str, index: int, value: object) -> None:
        """More of a structured output is certain."""
        log = self.log
        log.append(
            PartialEvent(
                run_id=self.run_id,
                seq=len(log.events) + 1,
                time_s=self.clock.now() - self.started_s,
                lineage=lineage,
                index=index,
                value=value,
            )
        )

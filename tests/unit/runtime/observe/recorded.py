"""A recorded Run for tests: two branches, a retry, a failure, a join."""

from __future__ import annotations

from typing import Literal

from weft.runtime.observe import (
    Event,
    PartialEvent,
    ProgressEvent,
    ResultEvent,
    RunEvent,
    StepEvent,
    StepKind,
    StepPhase,
    TokenEvent,
    Usage,
)

__all__ = ["Recorder", "shop_run"]

HEAVY = Usage(num_prompt_tokens=40, num_cached_tokens=30, num_generated_tokens=12, num_requests=1)


class Recorder:
    """Builds events with the right numbers."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    @property
    def next_seq(self) -> int:
        return len(self.events) + 1

    def run(
        self,
        time_s: float,
        phase: Literal["started", "finished", "failed", "cancelled"],
        error: str = "",
        program: str = "shop:answer",
    ) -> None:
        self.events.append(
            RunEvent(
                run_id="r",
                seq=self.next_seq,
                time_s=time_s,
                lineage="answer",
                program=program,
                phase=phase,
                error=error,
            )
        )

    def step(
        self,
        time_s: float,
        lineage: str,
        phase: StepPhase,
        *,
        kind: StepKind = "gen",
        inputs: tuple[str, ...] = (),
        after: tuple[str, ...] = (),
        summary: str = "",
        usage: Usage | None = None,
    ) -> None:
        parent, _, name = lineage.rpartition("/")
        self.events.append(
            StepEvent(
                run_id="r",
                seq=self.next_seq,
                time_s=time_s,
                lineage=lineage,
                name=name,
                kind=kind,
                phase=phase,
                parent=parent,
                inputs=inputs,
                after=after,
                summary=summary,
                usage=usage or Usage(),
            )
        )

    def token(self, time_s: float, lineage: str, text: str, index: int = 0) -> None:
        self.events.append(
            TokenEvent(
                run_id="r",
                seq=self.next_seq,
                time_s=time_s,
                lineage=lineage,
                index=index,
                text=text,
                num_tokens=1,
            )
        )

    def say(self, time_s: float, text: str) -> None:
        self.events.append(
            ProgressEvent(run_id="r", seq=self.next_seq, time_s=time_s, lineage="answer", text=text)
        )

    def result(self, time_s: float, value: object) -> None:
        self.events.append(
            ResultEvent(run_id="r", seq=self.next_seq, time_s=time_s, lineage="answer", value=value)
        )

    def partial(self, time_s: float, lineage: str, value: object) -> None:
        self.events.append(
            PartialEvent(
                run_id="r",
                seq=self.next_seq,
                time_s=time_s,
                lineage=lineage,
                index=0,
                value=value,
            )
        )


def shop_run(hostile: str = "") -> list[Event]:
    """A finished Run; ``hostile`` is put wherever a model, a tool or a user can write."""
    run = Recorder()
    sql, rows, note = "answer/sql", "answer/rows", "answer/note"
    run.run(0.0, "started", program=f"shop:answer{hostile}")
    run.step(0.0, "answer", "submitted", kind="program")
    run.step(0.0, "answer", "started", kind="program")
    run.step(0.0, sql, "submitted", summary=f"Write SQL for: how many mugs?{hostile}")
    run.step(0.0, note, "submitted", summary="Greet the customer.")
    run.step(0.25, sql, "started")
    run.step(0.5, note, "started")
    for word in ("SELECT", " 1", hostile):
        run.token(0.75, sql, word)
    run.partial(0.75, sql, {"sql": "SELECT"})
    run.step(1.0, sql, "retrying", summary="OutputInvalid: no such table")
    run.token(1.25, sql, f"SELECT 42{hostile}")
    run.step(2.0, sql, "finished", summary=f"SELECT 42{hostile}", usage=HEAVY)
    run.say(2.0, f"querying{hostile}")
    run.step(2.0, rows, "submitted", kind="tool", inputs=(sql,), after=(sql,), summary="query")
    run.step(2.0, rows, "started", kind="tool")
    tool_usage = Usage(num_tool_calls=1, seconds=1.0)
    run.step(3.0, rows, "finished", kind="tool", summary="[[42]]", usage=tool_usage)
    run.step(3.5, note, "failed", summary=f"StepTimeout: too slow{hostile}")
    run.step(4.0, "answer", "finished", kind="program", summary="42", usage=Usage(seconds=4.0))
    run.result(4.0, {"answer": 42, "note": hostile})
    run.run(4.0, "finished", program=f"shop:answer{hostile}")
    return run.events

"""Records for tests."""

from __future__ import annotations

from weft.runtime.journal import RunRecord, StepRecord, StepStatus
from weft.runtime.observe.usage import Usage

__all__ = ["run_record", "step_record"]


def run_record(run_id: str = "run", started_at: float = 1.0) -> RunRecord:
    return RunRecord(
        run_id=run_id,
        program="shop:answer",
        fingerprint="f00",
        seed=2**63 - 1,
        input_json='{"question":"?"}',
        status="running",
        output_json=None,
        error="",
        started_at=started_at,
        ended_at=None,
    )


def step_record(
    lineage: str = "answer/0",
    *,
    run_id: str = "run",
    status: StepStatus = "finished",
    output: str | None = '"forty-two"',
    started_at: float = 2.0,
) -> StepRecord:
    return StepRecord(
        run_id=run_id,
        lineage=lineage,
        name="plan",
        kind="gen",
        parent="answer",
        inputs=("answer/1", "answer/2"),
        input_hash="beef",
        input_json="[]",
        status=status,
        output_json=output,
        error="",
        num_attempts=1,
        usage=Usage(num_prompt_tokens=7, num_cached_tokens=4, seconds=0.25),
        started_at=started_at,
        ended_at=started_at + 1,
    )

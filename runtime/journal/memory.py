"""A Store that forgets: for tests, and for runs nobody wants to keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from weft.errors import JournalError
from weft.runtime.journal.record import RunRecord, RunStatus, StepRecord

__all__ = ["MemoryStore"]


class MemoryStore:
    """Keeps records in this process, by the same rules as a durable Store."""

    def __init__(self) -> None:
        self._runs: dict[str, RunRecord] = {}
        self._steps: dict[str, dict[str, StepRecord]] = {}
        self._is_closed = False

    async def begin_run(self, record: RunRecord) -> None:
        self._check_open()
        if record.run_id in self._runs:
            raise JournalError(
                f"Run {record.run_id!r} is already recorded.", remedy="Use a new id."
            )
        self._runs[record.run_id] = record
        self._steps[record.run_id] = {}

    async def put_step(self, record: StepRecord) -> None:
        """The last call wins until the Step is finished: a finished Step never changes."""
        self._check_open()
        self._check_known(record.run_id)
        steps = self._steps[record.run_id]
        known = steps.get(record.lineage)
        if known is None or known.status != "finished":
            steps[record.lineage] = record

    async def end_run(
        self, run_id: str, status: RunStatus, output_json: str | None, error: str, ended_at: float
    ) -> None:
        self._check_open()
        self._check_known(run_id)
        self._runs[run_id] = replace(
            self._runs[run_id],
            status=status,
            output_json=output_json,
            error=error,
            ended_at=ended_at,
        )

    async def runs(self, limit: int = 100) -> Sequence[RunRecord]:
        self._check_open()
        newest_first = reversed(self._runs.values())
        return sorted(newest_first, key=lambda record: record.started_at, reverse=True)[:limit]

    async def run(self, run_id: str) -> RunRecord | None:
        self._check_open()
        return self._runs.get(run_id)

    async def steps(self, run_id: str) -> Sequence[StepRecord]:
        self._check_open()
        steps = self._steps.get(run_id, {}).values()
        return sorted(steps, key=lambda record: record.started_at)

    async def aclose(self) -> None:
        self._is_closed = True

    def _check_open(self) -> None:
        if self._is_closed:
            raise JournalError("The store is closed.", remedy="Open a new one.")

    def _check_known(self, run_id: str) -> None:
        if run_id not in self._runs:
            raise JournalError(f"Run {run_id!r} is not recorded.", remedy="Begin it first.")

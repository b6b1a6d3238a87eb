"""Where Runs and Steps are kept: the executor's side of the journal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from weft.runtime.journal.record import RunRecord, RunStatus, StepRecord

__all__ = ["Store"]


class Store(Protocol):
    """Keeps the records of Runs. Safe to share by many Runs on one event loop.

    Every method may wait for the disk but never blocks the loop. A write that returned is as
    durable as the store promises. Raises JournalError when state cannot be read or written.
    """

    async def begin_run(self, record: RunRecord) -> None:
        """Record a Run that starts. A known ``run_id`` raises JournalError: ids are unique."""
        ...

    async def put_step(self, record: StepRecord) -> None:
        """Record a Step as it is now. The key is ``(run_id, lineage)``; the last call wins until
        the Step is finished: a finished Step never changes.

        The executor calls it once per Step, when the Step has ended.
        """
        ...

    async def end_run(
        self,
        run_id: str,
        status: RunStatus,
        output_json: str | None,
        error: str,
        ended_at: float,
    ) -> None:
        """Record how a Run ended. ``ended_at`` is in seconds since the epoch."""
        ...

    async def runs(self, limit: int = 100) -> Sequence[RunRecord]:
        """The newest Runs first, at most ``limit``."""
        ...

    async def run(self, run_id: str) -> RunRecord | None:
        """One Run, or ``None`` when it is not known."""
        ...

    async def steps(self, run_id: str) -> Sequence[StepRecord]:
        """The Steps of one Run by the time they started; empty when the Run is not known."""
        ...

    async def aclose(self) -> None:
        """Write what is pending and let go of the storage. Idempotent."""
        ...

"""What happened, kept: records of Runs and Steps, and the places they are written to."""

from __future__ import annotations

from weft.runtime.journal.codec import Data, canonical, checksum, decode, encode
from weft.runtime.journal.memory import MemoryStore
from weft.runtime.journal.record import RunRecord, RunStatus, StepRecord, StepStatus
from weft.runtime.journal.sqlite import JournalMode, SqliteStore
from weft.runtime.journal.store import Store
from weft.runtime.journal.trajectories import tree_of

__all__ = [
    "Data",
    "JournalMode",
    "MemoryStore",
    "RunRecord",
    "RunStatus",
    "SqliteStore",
    "StepRecord",
    "StepStatus",
    "Store",
    "canonical",
    "checksum",
    "decode",
    "encode",
    "tree_of",
]

"""The program-aware scheduler: facts about programs in, decisions out, nothing else."""

from __future__ import annotations

from weft.runtime.scheduler.costs import Costs
from weft.runtime.scheduler.decisions import (
    Decided,
    Decision,
    Demote,
    Dispatch,
    Entry,
    Evict,
    Pause,
    Prefetch,
    Refuse,
)
from weft.runtime.scheduler.facts import (
    CallAnswered,
    CallAsked,
    CallCancelled,
    CallGrew,
    KvLost,
    OutsideFact,
    ProgramArrived,
    ProgramEnded,
    ReplicaLeft,
    ReplicaSized,
    SuccessorsKnown,
    ToolReturned,
    ToolStarted,
)
from weft.runtime.scheduler.ledger import Ledger
from weft.runtime.scheduler.log import decode_entry, encode_entry, replay
from weft.runtime.scheduler.policies import make_policy, policy_names
from weft.runtime.scheduler.policy import SchedulingPolicy
from weft.runtime.scheduler.scheduler import Scheduler
from weft.runtime.scheduler.tool_times import ToolTimes

__all__ = [
    "CallAnswered",
    "CallAsked",
    "CallCancelled",
    "CallGrew",
    "Costs",
    "Decided",
    "Decision",
    "Demote",
    "Dispatch",
    "Entry",
    "Evict",
    "KvLost",
    "Ledger",
    "OutsideFact",
    "Pause",
    "Prefetch",
    "ProgramArrived",
    "ProgramEnded",
    "Refuse",
    "ReplicaLeft",
    "ReplicaSized",
    "Scheduler",
    "SchedulingPolicy",
    "SuccessorsKnown",
    "ToolReturned",
    "ToolStarted",
    "ToolTimes",
    "decode_entry",
    "encode_entry",
    "make_policy",
    "policy_names",
    "replay",
]

"""Scheduling policies, one a file, and the choice of one by name."""

from __future__ import annotations

from weft.runtime.scheduler.policies.cap import CapPolicy
from weft.runtime.scheduler.policies.deadline import DeadlinePolicy
from weft.runtime.scheduler.policies.fcfs import FcfsPolicy
from weft.runtime.scheduler.policies.least_attained import LeastAttainedPolicy
from weft.runtime.scheduler.policies.pause import PausePolicy
from weft.runtime.scheduler.policies.registry import make_policy, policy_names
from weft.runtime.scheduler.policies.ttl import TtlPolicy
from weft.runtime.scheduler.policies.weft import WeftPolicy

__all__ = [
    "CapPolicy",
    "DeadlinePolicy",
    "FcfsPolicy",
    "LeastAttainedPolicy",
    "PausePolicy",
    "TtlPolicy",
    "WeftPolicy",
    "make_policy",
    "policy_names",
]

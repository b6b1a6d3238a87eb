"""The scheduler in virtual time: many programs, many replicas, a stated model of cost."""

from __future__ import annotations

from weft.runtime.scheduler.simulator.report import Report, jain_index
from weft.runtime.scheduler.simulator.script import Script, ScriptStep
from weft.runtime.scheduler.simulator.sql_stages import SqlWorkload
from weft.runtime.scheduler.simulator.sweep import (
    Arm,
    Cell,
    Tuned,
    best_other,
    default_arms,
    sweep,
    tune,
)
from weft.runtime.scheduler.simulator.workload import AgentWorkload, concurrency_for
from weft.runtime.scheduler.simulator.world import simulate

__all__ = [
    "AgentWorkload",
    "Arm",
    "Cell",
    "Report",
    "Script",
    "ScriptStep",
    "SqlWorkload",
    "Tuned",
    "best_other",
    "concurrency_for",
    "default_arms",
    "jain_index",
    "simulate",
    "sweep",
    "tune",
]

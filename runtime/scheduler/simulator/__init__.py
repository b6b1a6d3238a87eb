"""The scheduler in virtual time: many programs, many replicas, a stated model of cost."""

from __future__ import annotations

from weft.runtime.scheduler.simulator.report import Report, jain_index
from weft.runtime.scheduler.simulator.script import Script, ScriptStep
from weft.runtime.scheduler.simulator.workload import AgentWorkload
from weft.runtime.scheduler.simulator.world import simulate

__all__ = ["AgentWorkload", "Report", "Script", "ScriptStep", "jain_index", "simulate"]

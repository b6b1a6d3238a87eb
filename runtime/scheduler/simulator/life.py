"""A simulated program as far as it is."""

from __future__ import annotations

from weft.runtime.scheduler.costs import Costs
from weft.runtime.scheduler.simulator.report import Outcome
from weft.runtime.scheduler.simulator.script import Script, ScriptStep

__all__ = ["Life"]


class Life:
    """Goes through its Script, one call after the other."""

    __slots__ = (
        "_costs",
        "asked_s",
        "context_tokens",
        "is_waiting",
        "outcome",
        "reached",
        "script",
    )

    def __init__(self, script: Script, costs: Costs) -> None:
        self.script = script
        self.reached = 0
        self.context_tokens = script.prefix_tokens
        self.asked_s = 0.0
        self.is_waiting = False
        self.outcome = Outcome(script=script)
        self._costs = costs
        self.outcome.duty = self._duty()

    @property
    def call(self) -> str:
        return f"{self.script.program}/{self.reached}"

    @property
    def step(self) -> ScriptStep:
        return self.script.steps[self.reached]

    @property
    def steps_left(self) -> int:
        return len(self.script.steps) - self.reached

    @property
    def deadline_s(self) -> float | None:
        """As a time; the script's is a time for a program that arrives at its own."""
        if self.script.deadline_s is None:
            return None
        return self.outcome.arrived_s + self.script.deadline_s - self.script.arrives_s

    def ask(self, now_s: float) -> None:
        self.asked_s, self.is_waiting = now_s, True
        self.context_tokens += self.step.new_tokens

    def answer(self) -> None:
        self.context_tokens += self.step.output_tokens
        self.outcome.num_steps += 1
        self.outcome.service_s += self._call_s(self.step)
        self.reached += 1

    def _duty(self) -> float:
        tools_s = sum(step.tool_s for step in self.script.steps)
        calls_s = self.seconds_left() - tools_s
        return calls_s / (calls_s + tools_s) if calls_s + tools_s else 0.0

    def seconds_left(self) -> float:
        """Of the critical path, if nothing were waited for."""
        steps = self.script.steps[self.reached :]
        return sum(self._call_s(step) + step.tool_s for step in steps)

    def _call_s(self, step: ScriptStep) -> float:
        return self._costs.call_s(
            new_tokens=step.new_tokens,
            context_tokens=self.context_tokens,
            output_tokens=step.output_tokens,
        )

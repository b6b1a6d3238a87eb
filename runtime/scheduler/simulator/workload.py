"""Programs shaped like published traces of coding agents, drawn from a seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from weft.runtime.scheduler.facts import ReplicaSized
from weft.runtime.scheduler.simulator.script import Script, ScriptStep

__all__ = ["AgentWorkload", "concurrency_for", "lognormal"]


GOLDEN = 0.6180339887498949


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentWorkload:
    """Turns, growth, outputs and tool times after AgentCgroup's and TraceLab's medians and tails.

    ``scale`` shrinks all token counts alike, for small capacities; the ratio of what all programs
    hold to what fits is what matters.
    """

    num_programs: int
    programs_per_s: float
    """Mean rate of arrivals, which come in bursts (Gamma, shape one half)."""
    scale: float = 1.0
    turns_p50: float = 16.0
    turns_p90: float = 33.0
    shared_tokens: int = 8000
    private_tokens: int = 6000
    growth_p50: float = 400.0
    growth_p99: float = 9700.0
    output_p50: float = 138.0
    output_p90: float = 578.0
    num_prefixes: int = 4
    num_tenants: int = 4
    longest_context: int = 100_000
    flood: float = 0.0
    """The share of the programs, beyond its own, that the first tenant has."""

    def draw(self, seed: int) -> Sequence[Script]:
        """The programs, in order of arrival; the same for the same seed."""
        random = Random(seed)
        at_s = 0.0
        scripts: list[Script] = []
        for number in range(self.num_programs):
            at_s += random.gammavariate(0.5, 2 / self.programs_per_s)
            scripts.append(self._program(random, number, at_s))
        return scripts

    def _program(self, random: Random, number: int, at_s: float) -> Script:
        turns = max(1, round(lognormal(random, self.turns_p50, self.turns_p90, 1.2816)))
        left = self.longest_context - self.shared_tokens - self.private_tokens
        steps: list[ScriptStep] = []
        for turn in range(min(turns, 200)):
            step = self._step(random, is_first=turn == 0)
            left -= step.new_tokens + step.output_tokens
            if left < 0 and steps:
                break
            steps.append(step)
        return Script(
            program=f"p{number}",
            arrives_s=at_s,
            steps=tuple(steps),
            tenant=self._tenant(number),
            prefix=f"system{random.randrange(self.num_prefixes)}",
            prefix_tokens=self._scaled(self.shared_tokens),
        )

    def _tenant(self, number: int) -> str:
        """Spread evenly, by the golden ratio, and equal for equal numbers."""
        floods = number * GOLDEN % 1 < self.flood
        return "t0" if floods else f"t{number % self.num_tenants}"

    def _step(self, random: Random, *, is_first: bool) -> ScriptStep:
        growth = lognormal(random, self.growth_p50, self.growth_p99, 2.3263)
        output = lognormal(random, self.output_p50, self.output_p90, 1.2816)
        tool, tool_s = _tool(random)
        new = self.private_tokens if is_first else growth
        return ScriptStep(self._scaled(new), self._scaled(output), tool, tool_s)

    def _scaled(self, num_tokens: float) -> int:
        return max(1, round(num_tokens * self.scale))


def lognormal(random: Random, median: float, tail: float, deviations: float) -> float:
    """Of this median, and with ``tail`` so many standard deviations above it."""
    return random.lognormvariate(math.log(median), math.log(tail / median) / deviations)


def concurrency_for(
    scripts: Sequence[Script], replicas: Sequence[ReplicaSized], oversubscription: float
) -> int:
    """How many programs hold so many times what the replicas can, shared prefixes once each.

    A program is taken to hold what it has at a step of equal chance, so long ones count for more.
    """
    contexts: list[int] = []
    for script in scripts:
        held = 0
        for step in script.steps:
            held += step.new_tokens + step.output_tokens
            contexts.append(held)
    prefixes = {script.shared_prefix: script.prefix_tokens for script in scripts}
    capacity = sum(one.capacity_tokens for one in replicas)
    private = oversubscription * capacity - len(replicas) * sum(prefixes.values())
    return max(1, int(private * len(contexts) / max(1, sum(contexts))))


def _tool(random: Random) -> tuple[str, float]:
    """Half files, nearly half shell commands, few sub-agents."""
    kind = random.random()
    if kind < 0.5:
        return "file", lognormal(random, 0.04, 0.2, 2.3263)
    if kind < 0.985:
        return "shell", min(300.0, lognormal(random, 3.0, 60.0, 2.3263))
    return "task", lognormal(random, 92.0, 200.0, 1.2816)

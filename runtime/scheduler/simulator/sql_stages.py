"""Text-to-SQL programs with deadlines, in the stages that Hexgen-Flow's traces have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from weft.runtime.scheduler.simulator.script import Script, ScriptStep
from weft.runtime.scheduler.simulator.workload import lognormal

__all__ = ["SqlWorkload"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlWorkload:
    """Candidates are drawn from a long schema, revised, evaluated and selected from.

    A query takes 10 to 28 calls, one after the other; each adds little to a schema that many
    share. The span that a query is given is lognormal around ``slack_s``, with twice that at the
    ninetieth percentile.
    """

    num_programs: int
    programs_per_s: float
    """Mean rate of arrivals, at random times (Poisson)."""
    slack_s: float
    """Median of the spans that queries have."""
    scale: float = 1.0
    num_schemas: int = 8
    num_tenants: int = 4

    def draw(self, seed: int) -> Sequence[Script]:
        """The programs, in order of arrival; the same for the same seed."""
        random = Random(seed)
        at_s = 0.0
        scripts: list[Script] = []
        for number in range(self.num_programs):
            at_s += random.expovariate(self.programs_per_s)
            scripts.append(self._program(random, number, at_s))
        return scripts

    def _program(self, random: Random, number: int, at_s: float) -> Script:
        num_candidates, num_revisions = random.randint(3, 6), random.randint(2, 12)
        steps = [
            self._step(random, 1500 if turn == 0 else 150, 660) for turn in range(num_candidates)
        ]
        steps += [self._step(random, 400, 120) for _ in range(num_revisions)]
        steps += [self._step(random, 250, 30) for _ in range(random.randint(4, 9))]
        steps.append(ScriptStep(self._scaled(306), self._scaled(8)))
        return Script(
            program=f"p{number}",
            arrives_s=at_s,
            steps=tuple(steps),
            tenant=f"t{number % self.num_tenants}",
            deadline_s=at_s + lognormal(random, self.slack_s, 2 * self.slack_s, 1.2816),
            prefix=f"schema{random.randrange(self.num_schemas)}",
            prefix_tokens=self._scaled(8000),
        )

    def _step(self, random: Random, new: float, output: float) -> ScriptStep:
        """A database runs what was written, for some tens of milliseconds."""
        return ScriptStep(
            self._scaled(lognormal(random, new, 2 * new, 1.2816)),
            self._scaled(lognormal(random, output, 1.5 * output, 1.2816)),
            "sql",
            lognormal(random, 0.03, 0.2, 1.2816),
        )

    def _scaled(self, num_tokens: float) -> int:
        return max(1, round(num_tokens * self.scale))

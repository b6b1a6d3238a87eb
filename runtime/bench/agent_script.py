"""What scripted agents read, say and wait for; the same for every contender."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice, zip_longest
from typing import Any, NamedTuple

from weft.runtime.scheduler.simulator import Script

__all__ = [
    "LETTERS",
    "AgentScript",
    "AgentStep",
    "Passage",
    "as_scripts",
    "in_midst",
    "in_time",
    "mean_context",
    "text_of",
]

LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Passage(NamedTuple):
    """A text that its seed says: one token a letter, for tokenizers of single bytes."""

    seed: str
    num_tokens: int


class AgentStep(NamedTuple):
    read: Passage
    num_output: int
    tool: str
    tool_s: float


class AgentScript(NamedTuple):
    name: str
    tenant: str
    prefix: Passage
    steps: tuple[AgentStep, ...]

    def to_json(self) -> dict[str, object]:
        return {**self._asdict(), "steps": [list(step) for step in self.steps]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> AgentScript:
        steps = tuple(
            AgentStep(Passage(*read), num_output, tool, tool_s)
            for read, num_output, tool, tool_s in data["steps"]
        )
        return cls(data["name"], data["tenant"], Passage(*data["prefix"]), steps)


def text_of(passage: Passage) -> str:
    """The same for the same passage, in every process."""
    rng = random.Random(passage.seed)
    return "".join(rng.choices(LETTERS, k=passage.num_tokens))


def in_time(script: Script, scale: float) -> Script:
    """The same program with tools that take ``scale`` times as long."""
    steps = tuple(step._replace(tool_s=step.tool_s * scale) for step in script.steps)
    return replace(script, steps=steps)


def in_midst(scripts: Sequence[Script], num_open: int, seed: int) -> list[Script]:
    """The same programs, but ``num_open`` of them come first as if they had been open for long, as
    many of each tenant.

    Who is open at any moment is a program the likelier the more steps it has, and at any of its
    steps alike: it begins there, and reads what was written before at once.
    """
    rng = random.Random(seed)
    ranked = sorted(
        range(len(scripts)),
        key=lambda number: rng.random() ** (1 / len(scripts[number].steps)),
        reverse=True,
    )
    of_tenants: dict[str, list[int]] = {}
    for number in ranked:
        of_tenants.setdefault(scripts[number].tenant, []).append(number)
    in_turns = chain.from_iterable(zip_longest(*of_tenants.values()))
    first = dict.fromkeys(islice((one for one in in_turns if one is not None), num_open))
    later = [script for number, script in enumerate(scripts) if number not in first]
    return [_from_step(scripts[number], rng) for number in first] + later


def _from_step(script: Script, rng: random.Random) -> Script:
    start = rng.randrange(len(script.steps))
    before = sum(step.new_tokens + step.output_tokens for step in script.steps[:start])
    now = script.steps[start]
    now = now._replace(new_tokens=before + now.new_tokens)
    return replace(script, steps=(now, *script.steps[start + 1 :]))


def as_scripts(scripts: Sequence[Script]) -> list[AgentScript]:
    """Simulated programs as real ones."""
    return [
        AgentScript(
            name=script.program,
            tenant=script.tenant,
            prefix=Passage(script.prefix, script.prefix_tokens),
            steps=tuple(
                AgentStep(
                    Passage(f"{script.program}/{number}", max(1, step.new_tokens)),
                    step.output_tokens,
                    step.tool,
                    step.tool_s,
                )
                for number, step in enumerate(script.steps)
            ),
        )
        for script in scripts
    ]


def mean_context(scripts: Sequence[AgentScript]) -> float:
    """Tokens of KV that an open program holds, averaged over all steps; the shared prefix
    counted for each."""
    sizes: list[int] = []
    for script in scripts:
        size = script.prefix.num_tokens
        for step in script.steps:
            size += step.read.num_tokens + step.num_output
            sizes.append(size)
    return sum(sizes) / len(sizes)

"""Random program mixes for the scheduler's properties."""

from __future__ import annotations

from random import Random

from hypothesis import strategies as st

from weft.runtime.scheduler import ReplicaSized
from weft.runtime.scheduler.simulator import Script, ScriptStep

__all__ = ["drawn_mix", "mixes", "replica_sets"]

TOOLS = (("", 0.0), ("file", 0.01), ("shell", 0.5), ("shell", 7.0))

steps = st.builds(
    ScriptStep,
    new_tokens=st.integers(1, 40),
    output_tokens=st.integers(1, 12),
    tool=st.sampled_from(["", "file", "shell"]),
    tool_s=st.sampled_from([0.0, 0.01, 0.5, 7.0]),
)


def drawn_mix(random: Random) -> tuple[list[Script], list[ReplicaSized]]:
    """What ``mixes`` and ``replica_sets`` give, at once."""
    scripts = [
        _drawn_script(random, number, random.choice(["", "x"]))
        for number in range(random.randint(1, 6))
    ]
    replicas = [
        ReplicaSized(
            0.0,
            f"r{number}",
            random.randint(172, 400),
            random.randint(1, 4),
            random.choice([0, 60, 500]),
        )
        for number in range(random.randint(1, 2))
    ]
    return scripts, replicas


def _drawn_script(random: Random, number: int, prefix: str) -> Script:
    steps = [
        ScriptStep(random.randint(1, 40), random.randint(1, 12), *random.choice(TOOLS))
        for _ in range(random.randint(1, 3))
    ]
    return Script(
        program=f"p{number}",
        arrives_s=random.choice([0.0, 0.01, 1.0, 3.0]),
        steps=tuple(steps),
        tenant=random.choice("ab"),
        deadline_s=random.choice([None, 2.0, 20.0]),
        prefix=prefix,
        prefix_tokens=16 * len(prefix),
    )


@st.composite
def mixes(draw: st.DrawFn, max_programs: int = 6) -> list[Script]:
    """Programs of at most 3 steps, some of which begin alike; the largest context is 172."""
    return [
        Script(
            program=f"p{number}",
            arrives_s=draw(st.sampled_from([0.0, 0.01, 1.0, 3.0])),
            steps=tuple(draw(st.lists(steps, min_size=1, max_size=3))),
            tenant=draw(st.sampled_from(["a", "b"])),
            deadline_s=draw(st.sampled_from([None, 2.0, 20.0])),
            prefix=prefix,
            prefix_tokens=16 * len(prefix),
        )
        for number, prefix in enumerate(
            draw(st.lists(st.sampled_from(["", "x"]), min_size=1, max_size=max_programs))
        )
    ]


def replica_sets() -> st.SearchStrategy[list[ReplicaSized]]:
    """One or two replicas that hold any one program of ``mixes``, some with a second tier."""
    sizes = st.tuples(st.integers(172, 400), st.integers(1, 4), st.sampled_from([0, 60, 500]))
    return st.lists(sizes, min_size=1, max_size=2).map(
        lambda drawn: [
            ReplicaSized(0.0, f"r{number}", capacity, max_calls, spill)
            for number, (capacity, max_calls, spill) in enumerate(drawn)
        ]
    )

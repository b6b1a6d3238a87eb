"""Random programs of requests that go on from random branches, are scored, cancelled and evicted:
each gets what it would get alone, and in the end the pool is as it was."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.engines import collect, greedy
from tests.support.tiny import build_checkpoint
from weft.programs.past import Past, Placing, Segment
from weft.programs.request import Request
from weft.programs.sampling import Sampling
from weft.runtime.engine import Engine, EngineConfig, open_engine

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++"),
]

BLOCK_BYTES = 4 * 2 * 2 * 2 * 16 * 4
TEXTS = [
    tuple(range(20, 41)),
    tuple(range(50, 59)),
    (60, 61, 62, 63),
    (60, 61, 99),
    (77,),
]
"""What segments are made of: programs meet the same ones again, and ones that begin alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request of a program, and what becomes of it."""

    past: Past | None
    prompt: tuple[int, ...]
    num_tokens: int
    n: int
    tenant: str
    priority: int
    num_turns: int
    """How often others have their turn before it is submitted."""
    target: tuple[int, ...]
    """To be scored; empty: it generates."""
    num_deltas: int | None
    """It is left after so many; None: never."""
    is_cancelled: bool
    """By its id, else by closing its stream."""

    def request(self, name: str) -> Request:
        return Request(
            request_id=name,
            prompt=self.prompt,
            past=self.past,
            sampling=Sampling(
                max_tokens=self.num_tokens, temperature=1.0, seed=5, ignore_eos=True, logprobs=0
            ),
            n=self.n,
            tenant=self.tenant,
            priority=self.priority,
        )


@st.composite
def pasts(draw: st.DrawFn) -> Past:
    """One text that others fork from, and are joined behind."""
    placings: st.SearchStrategy[Placing] = st.sampled_from(["shared", "rotated"])
    segments = [Segment(tokens=TEXTS[0])]
    for number in range(1, draw(st.integers(1, 5))):
        parents = draw(st.lists(st.integers(0, number - 1), max_size=3, unique=True))
        text = draw(st.sampled_from(TEXTS))
        segments.append(Segment(tokens=text, parents=tuple(parents), placing=draw(placings)))
    numbers = st.integers(0, len(segments) - 1)
    parents = draw(st.lists(numbers, min_size=1, max_size=4, unique=True))
    return Past(segments=tuple(segments), parents=tuple(parents), placing=draw(placings))


def requests() -> st.SearchStrategy[Asked]:
    runs = st.sampled_from([(7,), (60, 61, 8), tuple(range(20, 31))])
    return st.builds(
        Asked,
        past=st.none() | pasts(),
        prompt=runs,
        num_tokens=st.sampled_from([20, 13, 1]),
        n=st.sampled_from([1, 1, 2, 3]),
        tenant=st.sampled_from(["", "", "other"]),
        priority=st.sampled_from([0, 0, 1]),
        num_turns=st.integers(0, 6),
        target=st.just(()) | st.just(()) | runs,
        num_deltas=st.sampled_from([None, None, None, 0, 1, 4]),
        is_cancelled=st.booleans(),
    )


Drawn = list[list[tuple[int, float]]]
"""Tokens of every sequence and their log-probabilities."""


async def run(engine: Engine, asked: Asked, name: str) -> Drawn:
    """What it got until it ended or was left."""
    for _ in range(asked.num_turns):
        await asyncio.sleep(0)
    if asked.target:
        scores = await engine.score(asked.prompt, asked.target, past=asked.past)
        return [list(zip(asked.target, scores, strict=True))]
    drawn: Drawn = [[] for _ in range(asked.n)]
    num_deltas = 0
    deltas = engine.submit(asked.request(name))
    try:
        async for delta in deltas:
            scores = tuple(entry.logprob for entry in delta.logprobs)
            drawn[delta.index] += zip(delta.token_ids, scores, strict=True)
            num_deltas += 1
            if num_deltas == asked.num_deltas:
                if not asked.is_cancelled:
                    break
                await engine.cancel(name)
    finally:
        await deltas.aclose()
    return drawn


async def alone(engine: Engine, asked: Asked) -> Drawn:
    """The same by itself, to its end."""
    if asked.target:
        return await run(engine, asked, "alone")
    answers = await collect(engine, asked.request("alone"))
    return [
        [(token, entry.logprob) for token, entry in zip(one.token_ids, one.logprobs, strict=True)]
        for one in answers
    ]


async def check(engine: Engine, roomy: Engine, program: Sequence[Asked]) -> None:
    got = await asyncio.gather(
        *(run(engine, asked, str(number)) for number, asked in enumerate(program))
    )
    for asked, drawn in zip(program, got, strict=True):
        wanted = await alone(roomy, asked)
        is_whole = bool(asked.target) or asked.num_deltas is None
        for mine, theirs in zip(drawn, wanted, strict=True):
            assert mine == (theirs if is_whole else theirs[: len(mine)])
    await check_empty(engine)


async def check_empty(engine: Engine) -> None:
    """Nothing is held, and nothing keeps a prompt from having the whole pool."""
    stats = engine.stats()
    while stats.num_running or stats.num_waiting:
        await asyncio.sleep(0)
        stats = engine.stats()
    assert stats.num_blocks_used == 0
    prompt = tuple(range(100, 100 + 4 * (stats.num_blocks - 1)))
    whole = Request(request_id="whole", prompt=prompt, sampling=greedy(4))
    [answer] = await collect(engine, whole)
    assert len(answer.token_ids) == 4
    assert engine.stats().num_blocks_used == 0


def config(num_blocks: int) -> EngineConfig:
    return EngineConfig(
        block_size=4, max_running=8, max_batch_tokens=16, kv_bytes=num_blocks * BLOCK_BYTES
    )


def test_programs_of_branches_leave_no_trace_on_each_other(tmp_path: Path) -> None:
    folder = str(build_checkpoint(tmp_path, head_dim=16))
    with asyncio.Runner() as runner:
        tight = runner.run(open_engine(folder, config=config(43)))
        roomy = runner.run(open_engine(folder, config=config(600)))

        @settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
        @given(st.lists(requests(), min_size=6, max_size=10))
        def programs(program: list[Asked]) -> None:
            runner.run(check(tight, roomy, program))

        try:
            programs()
            stats = tight.stats()
            assert stats.num_preemptions > 0
            assert stats.num_cached_tokens > 0
        finally:
            runner.run(tight.close())
            runner.run(roomy.close())

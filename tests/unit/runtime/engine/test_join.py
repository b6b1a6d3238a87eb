"""Generations that go on from several branches, against dense forwards that see the same."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from tests.support.dense import dense_past, packed_past
from tests.support.engines import collect, greedy, guessing, opened, request
from tests.support.tiny import build_checkpoint
from weft.errors import InvalidRequest, UnsupportedFeature
from weft.programs.past import Past, Placing, Segment
from weft.programs.request import Completion, Request
from weft.programs.sampling import Sampling
from weft.runtime.engine import EngineConfig

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")

LOGPROBS = Sampling(temperature=0.0, max_tokens=8, ignore_eos=True, logprobs=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_checkpoint(tmp_path_factory.mktemp("join"), head_dim=16)


@pytest.fixture(scope="module")
def model(folder: Path) -> PreTrainedModel:
    loaded: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder)
    return loaded


def config(num_blocks: int = 400, *, max_running: int = 8, max_batch: int = 16) -> EngineConfig:
    block_bytes = 4 * 2 * 2 * 2 * 16 * 4
    return EngineConfig(
        block_size=4,
        max_running=max_running,
        max_batch_tokens=max_batch,
        kv_bytes=num_blocks * block_bytes,
        stream_interval_s=0.0,
    )


def tokens(rng: random.Random, count: int) -> tuple[int, ...]:
    return tuple(rng.choices(range(10, 300), k=count))


def fork(rng: random.Random, *, placing: Placing, num_branches: int = 3) -> Past:
    branches: list[Segment] = []
    for _ in range(num_branches):
        branches.append(Segment(tokens=tokens(rng, rng.randint(1, 9)), parents=(0,)))
    return Past(
        segments=(Segment(tokens=tokens(rng, 21)), *branches),
        parents=tuple(range(1, 1 + num_branches)),
        placing=placing,
    )


def nested(rng: random.Random, *, placing: Placing) -> Past:
    """A join of two branches, a fork behind it, and a join of all that with the third branch."""
    outer = fork(rng, placing=placing)
    inner = (
        Segment(tokens=tokens(rng, 3), parents=(1, 3), placing=placing),
        Segment(tokens=tokens(rng, 6), parents=(4,)),
        Segment(tokens=tokens(rng, 2), parents=(4,)),
        Segment(tokens=tokens(rng, 5), parents=(6,)),
    )
    return Past(segments=(*outer.segments, *inner), parents=(5, 7, 2), placing=placing)


def asked(name: str, past: Past, prompt: Sequence[int], sampling: Sampling = LOGPROBS) -> Request:
    return Request(request_id=name, prompt=tuple(prompt), past=past, sampling=sampling)


def assert_dense(
    model: PreTrainedModel, past: Past, prompt: Sequence[int], one: Completion
) -> None:
    """Greedy by the dense forward, and with its log-probabilities."""
    logits_SV = dense_past(model, past, (*prompt, *one.token_ids))
    rows_NV = logits_SV[len(prompt) - 1 : -1].log_softmax(-1)
    wanted = rows_NV[range(len(one.token_ids)), one.token_ids]
    got = torch.tensor([entry.logprob for entry in one.logprobs])
    assert (wanted - got).abs().max() < 1e-4
    assert (rows_NV.max(-1).values - wanted).max() < 1e-4


async def test_joined_branches_are_seen_as_a_dense_forward_sees_them(
    folder: Path, model: PreTrainedModel
) -> None:
    rng = random.Random(0)
    placings: tuple[Placing, ...] = ("shared", "rotated")
    pasts = [make(rng, placing=placing) for placing in placings for make in (fork, nested)]
    prompts = [tokens(rng, rng.randint(1, 20)) for _ in pasts]
    async with opened(folder, config()) as engine:
        answers = await asyncio.gather(
            *(
                collect(engine, asked(str(at), past, prompt))
                for at, (past, prompt) in enumerate(zip(pasts, prompts, strict=True))
            )
        )
        for past, prompt, [answer] in zip(pasts, prompts, answers, strict=True):
            assert answer.num_prompt_tokens == past.num_tokens + len(prompt)
            assert_dense(model, past, prompt, answer)
            scores = await engine.score(prompt, answer.token_ids, past=past)
            wanted = [entry.logprob for entry in answer.logprobs]
            assert scores == pytest.approx(wanted, abs=1e-5)
        assert engine.stats().num_blocks_used == 0


async def test_a_shared_join_equals_transformers_with_a_sibling_mask(
    folder: Path, model: PreTrainedModel
) -> None:
    rng = random.Random(1)
    past, prompt = fork(rng, placing="shared"), tokens(rng, 4)
    async with opened(folder, config()) as engine:
        [answer] = await collect(engine, asked("join", past, prompt))
    stream = (*prompt, *answer.token_ids)
    packed, distances_TT, is_seen_TT = packed_past(past, stream)
    # Every token's position is its distance to the first one, or that of what it follows.
    positions_T = torch.cat(
        [
            frame.end + torch.arange(length)
            for frame, length in zip(
                past.frames, [*(len(one.tokens) for one in past.segments), len(stream)], strict=True
            )
        ]
    )
    assert int(positions_T[-1]) == int(distances_TT[-1].max())
    mask_11TT = torch.where(torch.from_numpy(is_seen_TT), 0.0, -torch.inf)[None, None]
    with torch.inference_mode():
        logits_TV = model(
            input_ids=torch.tensor([packed]),
            attention_mask=mask_11TT,
            position_ids=positions_T[None],
        ).logits[0]
    rows_NV = logits_TV[-len(answer.token_ids) - 1 : -1].log_softmax(-1)
    got = torch.tensor([entry.logprob for entry in answer.logprobs])
    wanted = rows_NV[range(len(answer.token_ids)), answer.token_ids]
    assert (wanted - got).abs().max() < 1e-4


async def test_branches_that_were_generated_are_not_computed_again(
    folder: Path, model: PreTrainedModel
) -> None:
    rng = random.Random(2)
    start = tokens(rng, 24)
    heads = [tokens(rng, 3) for _ in range(3)]
    async with opened(folder, config(max_batch=64)) as engine:
        answers = await asyncio.gather(
            *(
                collect(engine, request(f"b{at}", (*start, *head), greedy(10 + at)))
                for at, head in enumerate(heads)
            )
        )
        branches = tuple(
            Segment(tokens=(*head, *answer.token_ids), parents=(0,))
            for head, [answer] in zip(heads, answers, strict=True)
        )
        past = Past(segments=(Segment(tokens=start), *branches), parents=(1, 2, 3))
        prompt = tokens(rng, 2)
        [joined] = await collect(engine, asked("join", past, prompt))
        again = await collect(engine, asked("again", past, prompt))
    assert_dense(model, past, prompt, joined)
    # A branch's last token was drawn and never computed, and a block that is not full is not kept.
    assert past.num_tokens - joined.num_cached_tokens <= 3 * 4
    assert again[0].token_ids == joined.token_ids


async def test_branches_of_one_request_share_what_is_behind_them(folder: Path) -> None:
    rng = random.Random(3)
    past, prompt = nested(rng, placing="rotated"), tokens(rng, 3)
    several = Request(
        request_id="several",
        prompt=prompt,
        past=past,
        n=4,
        sampling=Sampling(temperature=1.5, max_tokens=9, seed=5, ignore_eos=True),
    )
    async with opened(folder, config()) as engine:
        together = await collect(engine, several)
        ticks = engine.stats().num_ticks
        assert len({one.token_ids for one in together}) > 1
        again = await collect(engine, several)
        assert [one.token_ids for one in again] == [one.token_ids for one in together]
        assert engine.stats().num_ticks < 2 * ticks


async def test_neighbours_keep_their_bits(folder: Path) -> None:
    """A sequence with one table computes the same whether others look into several or not."""
    rng = random.Random(4)
    past, line, prompt = nested(rng, placing="shared"), tokens(rng, 30), tokens(rng, 3)
    plain = Request(request_id="plain", prompt=line, sampling=LOGPROBS)
    async with opened(folder, config()) as engine:
        [alone] = await collect(engine, plain)
    async with opened(folder, config()) as engine:
        [beside], _ = await asyncio.gather(
            collect(engine, plain), collect(engine, asked("join", past, prompt))
        )
    assert beside.logprobs == alone.logprobs


async def test_nothing_is_guessed_for_what_draws_nothing(folder: Path) -> None:
    """A guess for a helper would have logits of its own, and shift those of its neighbours."""
    rng = random.Random(5)
    repeated = tokens(rng, 4) * 5
    branches = [Segment(tokens=repeated, parents=(0,)) for _ in range(2)]
    past = Past(segments=(Segment(tokens=repeated), *branches), parents=(1, 2))
    neighbours = [request(f"n{at}", tokens(rng, 5 + at), greedy(12)) for at in range(6)]
    async with opened(folder, config()) as engine:
        alone = [await collect(engine, one) for one in neighbours]
    async with guessing(folder, config(max_batch=256)) as engine:
        for _ in range(3):  # so that guesses come true, and pay, for as many sequences
            crowd = (request(f"{at}", repeated, greedy(30)) for at in range(7))
            await asyncio.gather(*(collect(engine, one) for one in crowd))
        joined = Request(request_id="j", prompt=tokens(rng, 3), past=past, sampling=greedy(12))
        _, *beside = await asyncio.gather(
            collect(engine, joined), *(collect(engine, one) for one in neighbours)
        )
    assert [one.token_ids for [one] in beside] == [one.token_ids for [one] in alone]


async def test_when_blocks_run_out_all_finish_with_the_same_tokens(folder: Path) -> None:
    rng = random.Random(5)
    pasts = [nested(rng, placing="rotated") for _ in range(6)]
    prompts = [tokens(rng, rng.randint(1, 30)) for _ in pasts]
    lines = [tokens(rng, 40) for _ in range(3)]

    async def run(num_blocks: int) -> tuple[list[tuple[int, ...]], int]:
        async with opened(folder, config(num_blocks, max_running=16)) as engine:
            answers = await asyncio.gather(
                *(
                    collect(engine, asked(f"j{at}", past, prompt, greedy(16)))
                    for at, (past, prompt) in enumerate(zip(pasts, prompts, strict=True))
                ),
                *(
                    collect(engine, request(f"l{at}", line, greedy(30)))
                    for at, line in enumerate(lines)
                ),
            )
            assert engine.stats().num_blocks_used == 0
            return [answer[0].token_ids for answer in answers], engine.stats().num_preemptions

    roomy, _ = await run(400)
    tight, num_preemptions = await run(46)
    assert num_preemptions > 0
    assert tight == roomy


async def test_cancelled_joins_leave_nothing_behind(folder: Path) -> None:
    rng = random.Random(6)
    async with opened(folder, config()) as engine:
        for num_deltas in (0, 1, 3):
            past = nested(rng, placing="shared")
            stream = engine.submit(asked(f"c{num_deltas}", past, tokens(rng, 40), greedy(50)))
            for _ in range(num_deltas):
                await anext(stream)
            await stream.aclose()
        await collect(engine, request("last", tokens(rng, 5), greedy(2)))
        stats = engine.stats()
        assert (stats.num_blocks_used, stats.num_running, stats.num_waiting) == (0, 0, 0)


async def test_equal_beginnings_are_computed_once(folder: Path) -> None:
    """Requests that come together and begin alike wait for the first one's prompt."""
    rng = random.Random(7)
    start = tokens(rng, 40)
    prompts = [(*start, *tokens(rng, 3)) for _ in range(5)]
    async with opened(folder, config(max_batch=64)) as engine:
        answers = await asyncio.gather(
            *(collect(engine, request(str(at), one, greedy(6))) for at, one in enumerate(prompts))
        )
        stats = engine.stats()
    assert sorted(answer[0].num_cached_tokens for answer in answers) == [0, 40, 40, 40, 40]
    assert stats.num_prompt_tokens - stats.num_cached_tokens == 43 + 4 * 3


async def test_what_cannot_be_joined_is_refused(folder: Path, tmp_path: Path) -> None:
    rng = random.Random(8)
    past = fork(rng, placing="shared")
    async with opened(folder, config(40)) as engine:
        assert engine.capabilities.sees_branches
        long = Past(segments=(Segment(tokens=tokens(rng, 170)),), parents=(0,))
        with pytest.raises(InvalidRequest, match="a sequence may have"):
            await collect(engine, asked("long", long, (1,)))
        strange = Past(segments=(Segment(tokens=(1, 99_999)),), parents=(0,))
        with pytest.raises(InvalidRequest, match="past holds the token id 99999"):
            await collect(engine, asked("strange", strange, (1,)))
        with pytest.raises(InvalidRequest, match="prompt is empty"):
            await engine.score((), (1,), past=past)
    narrow = build_checkpoint(tmp_path, head_dim=8)
    async with opened(narrow, config()) as engine:
        assert not engine.capabilities.sees_branches
        with pytest.raises(UnsupportedFeature, match="Join branches as text"):
            await collect(engine, asked("torch", past, (1,)))
        assert await collect(engine, request("fine", (5,), greedy(1)))

"""Lanes that read each other, against a dense forward over what they wrote."""

from __future__ import annotations

import asyncio
import random
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from tests.support.engines import collect, greedy, opened, request
from tests.support.lanes import NaiveTeam, team_of, tokens, turn
from tests.support.tiny import build_checkpoint
from weft.programs.grammar import GrammarSpec
from weft.programs.lane import Layout, Team
from weft.programs.request import Completion
from weft.runtime.engine import Engine, EngineConfig

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")

LAYOUTS: tuple[Layout, ...] = ("contiguous", "interleaved", "combined", "blind")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_checkpoint(tmp_path_factory.mktemp("lanes"), head_dim=16)


@pytest.fixture(scope="module")
def model(folder: Path) -> PreTrainedModel:
    loaded: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder)
    return loaded


def config(num_blocks: int = 400) -> EngineConfig:
    block_bytes = 4 * 2 * 2 * 2 * 16 * 4
    return EngineConfig(
        block_size=4, max_running=16, max_batch_tokens=64, kv_bytes=num_blocks * block_bytes
    )


async def write(
    engine: Engine, team: Team, heads: Sequence[Sequence[int]], lengths: Sequence[int]
) -> list[Completion]:
    """What the lanes write, begun together; the team is gone afterwards."""
    found = await asyncio.gather(
        *(
            collect(engine, turn(team, lane, head, length))
            for lane, (head, length) in enumerate(zip(heads, lengths, strict=True))
        )
    )
    await engine.cancel(team.team_id)
    return [one for [one] in found]


async def emptied(engine: Engine) -> None:
    """Wait until nothing is held any more."""
    async with asyncio.timeout(5):
        while engine.stats().num_blocks_used > 0:
            await asyncio.sleep(0.001)


def assert_dense(model: PreTrainedModel, naive: NaiveTeam, found: Sequence[Completion]) -> None:
    """Greedy by the dense forward, with its log-probabilities where they were asked for."""
    rows_NV = naive.logprobs(model)
    wanted_N = rows_NV[range(len(naive.drawn)), [one.token_id for one in naive.drawn]]
    assert (rows_NV.max(-1).values - wanted_N).max() < 1e-4
    given = [iter(one.logprobs) for one in found]
    if all(one.logprobs for one in found):
        got_N = torch.tensor([next(given[one.lane]).logprob for one in naive.drawn])
        assert (wanted_N - got_N).abs().max() < 1e-4


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("num_lanes", [1, 2, 4])
async def test_lanes_see_what_the_layout_says(
    folder: Path, model: PreTrainedModel, layout: Layout, num_lanes: int
) -> None:
    rng = random.Random(num_lanes)
    headers = {}
    if layout == "combined":
        headers = {"others_header": tokens(rng, 3), "own_header": tokens(rng, 2)}
    team = team_of(layout, num_lanes, rng, **headers, step_ends=("e", "a", "t", "o"))
    heads = [tokens(rng, rng.randint(1, 7)) for _ in range(num_lanes)]
    lengths = [rng.randint(9, 30) for _ in range(num_lanes)]
    async with opened(folder, config()) as engine:
        found = await write(engine, team, heads, lengths)
        naive = NaiveTeam(
            team,
            [(head, one.token_ids) for head, one in zip(heads, found, strict=True)],
            decode=engine.decode,
        )
        await emptied(engine)
    assert_dense(model, naive, found)


@pytest.mark.slow
async def test_lanes_under_grammars_see_each_other(folder: Path, model: PreTrainedModel) -> None:
    """And nothing is forced in them, so that how far each is depends on no clock."""
    rng = random.Random(20)
    heads = [tokens(rng, 3), tokens(rng, 1)]
    grammar = GrammarSpec(kind="regex", text="[0-9]{3} in all, and [a-f]{2,4}")

    async def serve(name: str, logprobs: int | None) -> tuple[Team, list[Completion]]:
        team = team_of("contiguous", 2, random.Random(21), team_id=name)
        asked = [
            turn(team, lane, head, 40, grammar=grammar, sampling={"logprobs": logprobs})
            for lane, head in enumerate(heads)
        ]
        found = await asyncio.gather(*(collect(engine, one) for one in asked))
        await engine.cancel(name)
        return team, [one for [one] in found]

    async with opened(folder, config()) as engine:
        team, found = await serve("watched", 0)
        _, unwatched = await serve("unwatched", None)
        await emptied(engine)
        assert engine.stats().num_forced_tokens == 0
    assert all(re.fullmatch(grammar.text, one.text) for one in found)
    assert [one.token_ids for one in unwatched] == [one.token_ids for one in found]
    naive = NaiveTeam(team, [(head, one.token_ids) for head, one in zip(heads, found, strict=True)])
    rows_NV = naive.logprobs(model)
    given = [iter(one.logprobs) for one in found]
    for row_V, drawn in zip(rows_NV, naive.drawn, strict=True):
        assert next(given[drawn.lane]).logprob == pytest.approx(
            float(row_V[drawn.token_id]), abs=1e-4
        )


async def test_an_engine_with_parked_teams_wakes_for_every_letter(folder: Path) -> None:
    rng = random.Random(22)
    team = team_of("combined", 2, rng)
    async with opened(folder, config()) as engine, asyncio.timeout(20):
        for given in (3, 4):
            await asyncio.gather(
                *(collect(engine, turn(team, lane, tokens(rng, given), 5)) for lane in range(2))
            )
            [plain] = await collect(engine, request(f"plain {given}", tokens(rng, 9), greedy(4)))
            assert len(plain.token_ids) == 4
        await engine.cancel("team")
        await emptied(engine)

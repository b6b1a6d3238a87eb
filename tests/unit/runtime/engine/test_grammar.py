"""Grammars inside the engine: what they enforce, and that they touch nothing else."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path

import pytest

from tests.support.engines import collect, opened, request
from tests.support.grammars import ebnf, regex, schema
from tests.support.schemas import generated, is_valid
from tests.support.tiny import build_tokenizer
from weft.errors import GrammarRejected
from weft.programs.grammar import GrammarSpec
from weft.programs.request import Request
from weft.programs.sampling import Sampling
from weft.runtime.engine import Engine, EngineConfig
from weft.runtime.model import MINI

CONFIG = EngineConfig(kv_bytes=1 << 20, max_running=16, max_batch_tokens=64)
NUM_SCHEMAS = 200
ANYTHING = ebnf(r"root ::= [\0-\U0010ffff]*")


def prompt(seed: int) -> list[int]:
    return random.Random(seed).choices(range(3, 380), k=20)


def text_only(max_tokens: int) -> Sampling:
    """Greedy over tokens that are whole text by themselves: any grammar of text allows these."""
    tokenizer = build_tokenizer()
    texts = [tokenizer.decode([token_id]) for token_id in range(len(tokenizer))]
    special = set(tokenizer.all_special_ids)
    barred = [i for i, text in enumerate(texts) if "\ufffd" in text or i in special]
    barred += range(len(tokenizer), len(tokenizer) + 6)
    return Sampling(
        temperature=0.0,
        max_tokens=max_tokens,
        ignore_eos=True,
        logit_bias=dict.fromkeys(barred, -100.0),
    )


async def test_a_grammar_that_allows_everything_changes_no_token(tiny_checkpoint: Path) -> None:
    async with opened(tiny_checkpoint, CONFIG) as engine:
        for seed in range(6):
            free = request(f"free{seed}", prompt(seed), text_only(24))
            bound = Request(
                request_id=f"bound{seed}",
                prompt=free.prompt,
                sampling=free.sampling,
                grammar=ANYTHING,
            )
            [alone], [masked] = await asyncio.gather(collect(engine, free), collect(engine, bound))
            assert len(alone.token_ids) == 24
            assert alone.token_ids == masked.token_ids


HOSTILE = {
    "cyclic": schema({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}),
    "deep": GrammarSpec(kind="json_schema", text='{"items": ' * 500 + "{}" + "}" * 500),
    "wide": schema({"enum": list(range(5_000))}),
    "endless": schema({"type": "string", "maxLength": 10**9}),
    "bomb": regex("(((a{1,99}){1,99}){1,99}){1,99}"),
    "no grammar": ebnf("root ::= missing"),
    "no json": GrammarSpec(kind="json_schema", text="{"),
}


@pytest.mark.parametrize("kind", HOSTILE)
async def test_hostile_grammars_are_refused_and_neighbours_unharmed(
    tiny_checkpoint: Path, kind: str
) -> None:
    async with opened(tiny_checkpoint, CONFIG) as engine:
        fine = request("before", prompt(1), text_only(24))
        [wanted] = await collect(engine, fine)
        neighbour = asyncio.create_task(
            collect(engine, request("during", prompt(1), text_only(24)))
        )
        asked = Request(
            request_id="hostile",
            prompt=tuple(prompt(2)),
            sampling=Sampling(max_tokens=8),
            grammar=HOSTILE[kind],
        )
        with pytest.raises(GrammarRejected) as caught:
            await collect(engine, asked)
        assert caught.value.remedy
        [found] = await neighbour
        assert found.token_ids == wanted.token_ids


@pytest.mark.slow
async def test_two_hundred_schemas_bind_the_bundled_model() -> None:
    """Sampled at temperature 1 by a model that was never shown such schemas: all are valid."""
    rng = random.Random(11)
    schemas = [generated(rng, depth=2) for _ in range(NUM_SCHEMAS)]
    config = EngineConfig(kv_bytes=64 << 20, max_running=32)
    async with opened(MINI, config) as engine:
        texts = await asyncio.gather(
            *(fill(engine, number, wanted) for number, wanted in enumerate(schemas))
        )
    for text, wanted in zip(texts, schemas, strict=True):
        assert is_valid(json.loads(text), wanted), (text, wanted)


async def fill(engine: Engine, number: int, wanted: object) -> str:
    asked = Request(
        request_id=f"schema{number}",
        prompt=tuple(engine.encode(f"{number}: ")),
        sampling=Sampling(seed=number, max_tokens=600),
        grammar=schema(wanted),
    )
    [completion] = await collect(engine, asked)
    assert completion.finish_reason == "stop", completion.text
    return completion.text

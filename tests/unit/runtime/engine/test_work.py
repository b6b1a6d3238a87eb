"""The account that an engine keeps of its own work."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

from tests.support.echo_model import BAD_TOKEN, echoing
from tests.support.engines import collect, request
from weft.programs.sampling import Sampling
from weft.runtime.engine import EngineConfig

CONFIG = EngineConfig(
    kv_bytes=1 << 20, max_running=4, max_batch_tokens=64, is_deterministic=True, speculation="off"
)


async def test_prompts_decodes_and_what_these_look_at_are_counted_once() -> None:
    sampling = Sampling(max_tokens=5, ignore_eos=True, seed=1, logit_bias={BAD_TOKEN: -100.0})
    async with echoing(CONFIG) as engine:
        await collect(engine, request("a", list(range(40, 60)), sampling))
        first = engine.stats()
        await collect(engine, request("b", list(range(60, 63)), replace(sampling, max_tokens=1)))
        second = engine.stats()
        assert second.busy_s == 0.0  # by a clock that stands still
    # The first token comes with the prompt, and the last is never fed.
    assert first.num_prefilled_tokens == 20
    assert first.num_decoded_tokens == 4
    assert first.num_read_tokens == 21 + 22 + 23 + 24
    assert second.num_prefilled_tokens == 23 and second.num_decoded_tokens == 4


async def test_every_tick_is_timed() -> None:
    """By a clock that is a second on whenever somebody looks."""
    seconds = count()
    async with echoing(CONFIG, clock=lambda: float(next(seconds))) as engine:
        await collect(engine, request("a", [40, 41], Sampling(max_tokens=2, seed=1)))
    stats = engine.stats()
    assert 0 < stats.num_ticks <= stats.busy_s

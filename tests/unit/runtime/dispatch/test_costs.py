"""What measuring gives, where time is known."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from weft.programs.request import Delta, Request
from weft.runtime.dispatch import measure_costs
from weft.runtime.scheduler import Costs
from weft.runtime.testing import ManualClock, ScriptedEngine


class TimedEngine(ScriptedEngine):
    """Takes exactly as long as its costs say: prompts one by one, then decodes together."""

    def __init__(self, costs: Costs, clock: ManualClock) -> None:
        super().__init__()
        self.kv_token_bytes = 5000
        self._costs = costs
        self._clock = clock
        self._decoding: list[asyncio.Event] = []

    async def submit(self, request: Request) -> AsyncGenerator[Delta, None]:
        self._clock.advance(self._costs.restore_s(len(request.prompt)))
        num_decoded = (request.sampling.max_tokens or 1) - 1
        is_first = not self._decoding
        done = asyncio.Event()
        self._decoding.append(done)
        await asyncio.sleep(0)
        if is_first:
            together, self._decoding = self._decoding, []
            near_s = self._costs.decode_s + self._costs.read_s * (len(request.prompt) - 16)
            tick_s = self._costs.tick_s + len(together) * near_s
            self._clock.advance(num_decoded * tick_s)
            for one in together:
                one.set()
        await done.wait()
        yield Delta(index=0, token_ids=(1,), finish_reason="length")


async def test_costs_are_found_again() -> None:
    clock = ManualClock()
    costs = Costs(tick_s=3e-3, decode_s=2e-4, prefill_s=4e-5, context_s=1e-8, read_s=3e-7)
    found = await measure_costs(TimedEngine(costs, clock), clock=clock.now)
    assert found.tick_s == pytest.approx(3e-3)
    assert found.decode_s == pytest.approx(2e-4)
    assert found.prefill_s == pytest.approx(4e-5)
    assert found.context_s == pytest.approx(1e-8)
    assert found.read_s == pytest.approx(3e-7)
    assert found.load_s == found.spill_s == 5e-6

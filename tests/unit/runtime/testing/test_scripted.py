"""The scripted engine keeps the engine's promises."""

from __future__ import annotations

import asyncio

import pytest

from weft.errors import EngineClosed, EngineError
from weft.programs.request import Delta, Request
from weft.programs.sampling import Sampling
from weft.programs.seeds import branch_seed
from weft.runtime.engine.protocol import Engine
from weft.runtime.testing import ManualClock, Prompted, Reply, ScriptedEngine, Sequencer, settle


def request(text: str = "abc", n: int = 1, **sampling: object) -> Request:
    drawn = Sampling(**sampling)  # type: ignore[arg-type]  # pyright: ignore
    return Request(request_id="r", prompt=tuple(map(ord, text)), sampling=drawn, n=n)


async def collect(engine: Engine, wanted: Request) -> list[Delta]:
    return [delta async for delta in engine.submit(wanted)]


def texts(deltas: list[Delta]) -> dict[int, str]:
    """The text of each sequence."""
    found: dict[int, str] = {}
    for delta in deltas:
        found[delta.index] = found.get(delta.index, "") + delta.text
    return found


async def test_it_echoes_unless_told_otherwise() -> None:
    engine: Engine = ScriptedEngine()
    (delta,) = await collect(engine, request())
    assert (delta.text, delta.finish_reason, delta.num_prompt_tokens) == ("abc", "stop", 3)
    assert engine.decode(engine.encode("åß∂")) == "åß∂"


async def test_limits_and_stop_strings_end_the_text() -> None:
    engine = ScriptedEngine(lambda _: "one two three")
    (cut,) = await collect(engine, request(max_tokens=5))
    assert (cut.text, cut.finish_reason) == ("one t", "length")
    (stopped,) = await collect(engine, request(stop=("two", "thr")))
    assert (stopped.text, stopped.finish_reason) == ("one ", "stop")


async def test_chunks_add_up_and_sequences_have_their_own_seeds() -> None:
    seeds: dict[int, int | None] = {}

    def script(prompted: Prompted) -> Reply:
        seeds[prompted.index] = prompted.seed
        return Reply(text="abcde", chunk=2)

    deltas = await collect(ScriptedEngine(script), request(n=2, seed=7))
    assert texts(deltas) == {0: "abcde", 1: "abcde"}
    assert [one.finish_reason for one in deltas] == [None, None, "stop"] * 2
    assert seeds == {0: 7, 1: branch_seed(7, 1)}


async def test_waiting_sequences_come_in_the_order_of_their_gates() -> None:
    gates = Sequencer()

    def script(prompted: Prompted) -> Reply:
        index = str(prompted.index)
        return Reply(text=f"s{index}", wait=lambda: gates.wait(index))

    engine = ScriptedEngine(script)
    reading = asyncio.create_task(collect(engine, request(n=3)))
    for name in "201":
        await settle()
        gates.open(name)
    assert [one.text for one in await reading] == ["s2", "s0", "s1"]


async def test_closing_the_stream_cancels_its_sequences() -> None:
    gates = Sequencer()
    engine = ScriptedEngine(lambda _: Reply(wait=lambda: gates.wait("never")))
    reading = asyncio.create_task(collect(engine, request(n=2)))
    await settle()
    assert engine.num_active == 1
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert engine.num_active == 0
    assert engine.closed == ["r"]
    assert engine.cancelled == [("r", 0), ("r", 1)]


async def test_cancel_ends_some_sequences_and_ignores_unknown_ids() -> None:
    gates = Sequencer()
    engine = ScriptedEngine(lambda _: Reply(text="x", wait=lambda: gates.wait("go")))
    reading = asyncio.create_task(collect(engine, request(n=2)))
    await settle()
    await engine.cancel("unknown")
    await engine.cancel("r", [1])
    gates.open("go")
    ends = {one.index: one.finish_reason for one in await reading}
    assert ends == {0: "stop", 1: "cancelled"}


async def test_errors_and_closing() -> None:
    engine = ScriptedEngine(lambda _: Reply(error=EngineError("no")))
    with pytest.raises(EngineError, match="no"):
        await collect(engine, request())
    assert engine.num_active == 0
    await engine.close()
    with pytest.raises(EngineClosed):
        await collect(engine, request())


def test_a_manual_clock_calls_in_order_and_only_when_moved() -> None:
    clock, calls = ManualClock(), list[tuple[str, float]]()

    def call(name: str) -> None:
        calls.append((name, clock.now()))

    clock.call_later(2.0, lambda: call("b"))
    clock.call_later(1.0, lambda: call("a"))
    dropped = clock.call_later(1.5, lambda: call("dropped"))
    clock.call_later(9.0, lambda: call("late"))
    dropped.cancel()
    assert clock.num_waiting == 3
    clock.advance(3.0)
    assert calls == [("a", 1.0), ("b", 2.0)]
    assert clock.now() == 3.0
    assert clock.num_waiting == 1

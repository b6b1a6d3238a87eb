"""What a Run has encoded before is not encoded again, and is what it was."""

from __future__ import annotations

from weft.programs import context, gen, program
from weft.runtime.executor import Run
from weft.runtime.executor.encoder import MAX_CHARS, RunEncoder
from weft.runtime.testing import ScriptedEngine


class CountingEngine(ScriptedEngine):
    def __init__(self) -> None:
        super().__init__(lambda prompted: "said")
        self.num_encoded = 0

    def encode(self, text: str, *, has_controls: bool = False) -> tuple[int, ...]:
        self.num_encoded += len(text)
        return super().encode(text, has_controls=has_controls)


async def test_a_context_that_grows_costs_what_is_new_in_it() -> None:
    @program
    async def grow() -> None:
        written = context("begin" * 20, is_raw=True)
        for number in range(10):
            step = gen(written, max_tokens=4)
            await step
            written = written.write(step, f" read {number}")

    engine = CountingEngine()
    await (await Run.start(grow, engine=engine)).result()
    assert engine.prompts[-1] == "begin" * 20 + "".join(f"said read {n}" for n in range(9))
    whole = len(engine.prompts[-1])
    assert engine.num_encoded < 2 * whole, "every text once, and what the script says"


def test_controls_and_plain_text_are_not_mixed_up() -> None:
    class Marking(ScriptedEngine):
        def encode(self, text: str, *, has_controls: bool = False) -> tuple[int, ...]:
            return (1,) if has_controls else (2, 2)

    encoder = RunEncoder(Marking())
    for _ in range(2):
        assert encoder.encode("<end>") == (2, 2)
        assert encoder.encode("<end>", has_controls=True) == (1,)


def test_memory_is_bounded() -> None:
    engine = CountingEngine()
    encoder = RunEncoder(engine)
    half = MAX_CHARS // 2 + 1
    encoder.encode("a" * half)
    encoder.encode("b" * half)
    encoder.encode("b" * half)
    assert engine.num_encoded == 2 * half
    encoder.encode("a" * half)
    assert engine.num_encoded == 3 * half

"""Trees of Steps and Contexts."""

from __future__ import annotations

import pytest

from weft.errors import InvalidRequest
from weft.programs import Step, TokenTree, context, export_tree, gen, program
from weft.runtime.executor import Run
from weft.runtime.testing import ScriptedEngine


def written(engine: ScriptedEngine, tree: TokenTree) -> list[tuple[str, tuple[int, ...], bool]]:
    return [(engine.decode(node.tokens), node.parents, node.is_generated) for node in tree.nodes]


async def test_a_context_holds_what_was_written_in_it_and_a_step_what_it_drew() -> None:
    engine = ScriptedEngine(lambda asked: " yes" if asked.text.endswith("?") else " no")
    trees: list[TokenTree] = []

    @program
    async def talk() -> str:
        start = context("Well", is_raw=True)
        one, two = start.fork(["?", "!"])
        asked = gen(one)
        told: Step[str] = gen(two)
        last = gen(one.write(asked, " So?"), n=2)
        for each in (told, last):
            await each
        trees.extend([export_tree(one.write(asked), told), export_tree(last, asked, last)])
        return await told

    await (await Run.start(talk, engine=engine)).result()
    forked, line = trees
    assert written(engine, forked) == [
        ("Well", (), False),
        ("?", (0,), False),
        (" yes", (1,), True),
        ("!", (0,), False),
        (" no", (3,), True),
    ]
    assert forked.nodes[2].sources == ("talk/gen",)
    assert written(engine, line) == [
        ("Well?", (), False),
        (" yes", (0,), True),
        (" So?", (1,), False),
        (" yes", (2,), True),
    ]
    assert line.nodes[3].sources == ("talk/gen#3[0]", "talk/gen#3[1]")


async def test_what_has_nothing_to_export() -> None:
    with pytest.raises(InvalidRequest, match="Nothing was generated"):
        export_tree(context("x"))

    @program
    async def early() -> str:
        step = gen("x")
        with pytest.raises(InvalidRequest, match="to be exported"):
            export_tree(step)
        return await step

    await (await Run.start(early, engine=ScriptedEngine(lambda _: "a"))).result()

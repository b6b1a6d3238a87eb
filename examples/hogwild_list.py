"""Lanes share a list of sums: `weft run examples/hogwild_list.py`.

Every lane is a stream of the same model and sees what the others write, token by token, as they
write it. Nobody hands out the items: whoever is free takes the next one that no other lane has
begun. On a terminal the lanes grow side by side. With `--set blind=true` they do not see each
other, and all of them solve everything; `--set lanes=1` solves the list alone.
"""

from __future__ import annotations

from pydantic import BaseModel

from weft import hogwild, program
from weft.programs import Message

ITEMS = (
    "40 + 7 - 8 lamps",
    "18 - 6 - 4 + 15 pans",
    "22 + 17 - 10 radios",
    "50 + 9 - 9 - 12",
    "31 - 6 + 6 desks",
    "10 + 1 + 5 + 15",
    "46 - 2 - 9 robots",
    "31 + 7 - 9 spades",
)
MAX_TOKENS = 380
LANE_TOKENS = 400


class Solved(BaseModel):
    """What the lanes found together."""

    lines: list[str]
    """By item; where none is right-formed for one, it is missing."""
    by_lane: list[list[int]]
    """The items that each lane wrote."""
    num_repeated: int
    """Lines for items that another lane had written, too."""


@program
async def hogwild_list(lanes: int = 2, blind: bool = False) -> Solved:
    """Solve the list with so many lanes."""
    prompt = [
        Message(role="system", content="Solve the list."),
        Message(
            role="user",
            content="\n".join(f"{number}: {item}" for number, item in enumerate(ITEMS, 1)),
        ),
    ]
    async with hogwild(
        prompt,
        lanes=lanes,
        layout="blind" if blind else "contiguous",
        lane_tokens=LANE_TOKENS,
        temperature=0.0,
        max_tokens=MAX_TOKENS,
    ) as team:
        return gathered(await team.texts())


def gathered(texts: list[str]) -> Solved:
    """Every item's first line, from whichever lane."""
    found: dict[int, str] = {}
    by_lane: list[list[int]] = []
    for text in texts:
        numbered = {number: line for line in text.splitlines() if (number := _number(line))}
        by_lane.append(list(numbered))
        found = {**numbered, **found}
    num_lines = sum(len(numbers) for numbers in by_lane)
    return Solved(
        lines=[found[number] for number in sorted(found)],
        by_lane=by_lane,
        num_repeated=num_lines - len(found),
    )


def _number(line: str) -> int:
    """Of the item that the line solves; 0 for any other line."""
    head = line.partition(":")[0].strip()
    return int(head) if head.isdecimal() and 1 <= int(head) <= len(ITEMS) else 0

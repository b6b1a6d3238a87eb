"""Reach a target with four numbers: best-of-N that stops at the first proof.

Run it with `weft run examples/countdown_team.py --set numbers='[3, 5, 8, 12]' --set target=24`.

Each player is a small dialogue: the model picks one operation, a tool computes it, until one
number is left. The verifier checks the arithmetic of the whole line again; as soon as one player
has proved a solution, all others are stopped inside the engine.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic import BaseModel

from weft import Regex, Step, chat, program, race, step, tool, verifier
from weft.errors import WeftError

NUM_PLAYERS = 32
OPERATION = Regex(r"[0-9]{1,4}[-+*/][0-9]{1,4}")


class NoSolution(WeftError):
    """A player ended with another number than the target."""


class Solution(BaseModel):
    target: int
    operations: list[str]
    """In order, such as ``12-5``, ``8*3``."""


@tool(effect="pure")
def combine(numbers: list[int], operation: str) -> list[int]:
    """Replace two of the numbers by what the operation makes of them.

    Args:
        numbers: the numbers that are left.
        operation: such as ``12-5``; both numbers must be there, the result a positive integer.
    """
    return apply(numbers, operation)


def apply(numbers: list[int], operation: str) -> list[int]:
    """The numbers after the operation, ascending. Raises ValueError when it is not allowed."""
    match = re.fullmatch(r"(\d+)([-+*/])(\d+)", operation)
    if match is None:
        raise ValueError(f"{operation!r} is no operation")
    left, right = int(match[1]), int(match[3])
    rest = list(numbers)
    for used in (left, right):
        if used not in rest:
            raise ValueError(f"{used} is not among {numbers}")
        rest.remove(used)
    value, remainder = _compute(left, match[2], right)
    if remainder or value <= 0:
        raise ValueError(f"{operation} is no positive integer")
    return sorted([*rest, value])


def _compute(left: int, sign: str, right: int) -> tuple[int, int]:
    """The result and the remainder of a division (0 for the other operations)."""
    if sign == "/":
        return divmod(left, right) if right else (0, 1)
    return {"+": left + right, "-": left - right, "*": left * right}[sign], 0


@verifier
def proves(numbers: list[int], solution: Solution) -> bool:
    """Whether the operations, done in order, use up the numbers and end at the target."""
    left = sorted(numbers)
    for operation in solution.operations:
        left = apply(left, operation)
    return left == [solution.target]


@step
async def play(numbers: list[int], target: int) -> Solution:
    """One player's line. Raises when it does not end at the target."""
    talk, left, operations = chat("Countdown."), sorted(numbers), list[str]()
    while len(left) > 1:
        talk = talk.user(f"{target}: {' '.join(map(str, left))}")
        operation = await talk.gen(out=OPERATION, max_tokens=9, name="choose")
        left = await combine(left, operation)
        talk = talk.assistant(operation)
        operations.append(operation)
    solution = Solution(target=target, operations=operations)
    if left != [target] or not (await proves(numbers, solution)).score:
        raise NoSolution(f"{' '.join(operations)} ends at {left[0]}, not {target}.")
    return solution


@program
async def countdown_team(numbers: Sequence[int] = (3, 5, 8, 12), target: int = 24) -> Solution:
    """The first proved solution of many players who play at the same time."""
    players: list[Step[Solution]] = [play(list(numbers), target) for _ in range(NUM_PLAYERS)]
    return await race(*players)

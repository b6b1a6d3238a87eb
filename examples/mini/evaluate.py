"""How well several streams solve held-out problems: `python -m examples.mini.evaluate`.

Greedy, with a short decoder of its own; `weft model eval` measures what one stream does.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import torch

from examples.mini.branches import argument_head, name_head, skeleton
from examples.mini.checkpoint import FILE_NAME
from examples.mini.heldout import SEED
from examples.mini.mixture import heldout_problems
from examples.mini.problem import JsonValue, Problem
from examples.mini.stages import from_export
from examples.mini.streams import Answer, Streams
from weft.runtime.model.checks import check


class Score(NamedTuple):
    """Means over the problems."""

    right: float
    num_steps: float
    """Tokens of the longest stream."""
    repeated: float
    """Lines that two lanes wrote, per line wanted."""


def assemble(problem: Problem, name: str, values: Mapping[str, str]) -> str:
    """Write the tool call of a name and of texts for every argument offered; wrong JSON stays."""
    schemas = {function["name"]: function for function in functions(problem)}
    parameters = schemas.get(name, {}).get("parameters")
    wanted = parameters.get("required") if isinstance(parameters, Mapping) else None
    keys = wanted if isinstance(wanted, Sequence) else ()
    inner = ", ".join(f"{json.dumps(key)}: {values[str(key)]}" for key in keys)
    return f'<tool_call>\n{{"name": {json.dumps(name)}, "arguments": {{{inner}}}}}\n</tool_call>'


def functions(problem: Problem) -> list[Mapping[str, JsonValue]]:
    """The functions of the tools shown."""
    return [cast(Mapping[str, JsonValue], tool["function"]) for tool in problem.tools or ()]


def by_heads(streams: Streams, problem: Problem) -> Answer:
    """Decode the name and every argument that any tool has, at once."""
    keys = dict.fromkeys(
        str(key)
        for function in functions(problem)
        for key in cast(Mapping[str, Mapping[str, JsonValue]], function["parameters"])["properties"]
    )
    answer = streams.branches(problem, [name_head(), *map(argument_head, keys)])
    name, *values = (text.removesuffix("}") for text in answer.texts)
    call = assemble(problem, name.strip('"'), dict(zip(keys, values, strict=True)))
    return Answer([call], answer.num_steps)


def by_skeleton(streams: Streams, problem: Problem) -> Answer:
    """Decode the arguments of a tool that is known, at once."""
    name, arguments = problem.check["name"], problem.check["arguments"]
    assert isinstance(name, str) and isinstance(arguments, Mapping)
    answer = streams.branches(problem, [skeleton(name, key) for key in arguments])
    values = (text.partition("}}\n")[0] for text in answer.texts)
    call = assemble(problem, name, dict(zip(arguments, values, strict=True)))
    return Answer([call], answer.num_steps)


def lanes(count: int, *, is_blind: bool = False) -> Callable[[Streams, Problem], Answer]:
    """Solve by so many lanes."""
    return lambda streams, problem: streams.lanes(problem, count, is_blind=is_blind)


WAYS: Mapping[str, tuple[str, Callable[[Streams, Problem], Answer]]] = {
    "lists, plain": ("lists", Streams.alone),
    "lists, 1 lane": ("lists", lanes(1)),
    "lists, 2 lanes": ("lists", lanes(2)),
    "lists, 4 lanes": ("lists", lanes(4)),
    "lists, 2 blind lanes": ("lists", lanes(2, is_blind=True)),
    "lists, 4 blind lanes": ("lists", lanes(4, is_blind=True)),
    "outline, plain": ("outline", Streams.alone),
    "outline, branches": ("outline", Streams.outline),
    "arguments, plain": ("arguments", Streams.alone),
    "arguments, skeleton": ("arguments", by_skeleton),
    "arguments, heads": ("arguments", by_heads),
}
"""Every way to solve a skill."""


def measure(
    streams: Streams,
    problems: Sequence[Problem],
    way: Callable[[Streams, Problem], Answer],
) -> Score:
    """Solve problems one way."""
    right = num_steps = num_repeated = num_wanted = 0
    for problem in problems:
        answer = way(streams, problem)
        text = answer.joined
        right += check(problem.check, text)
        num_steps += answer.num_steps
        lines = text.strip().splitlines()
        num_repeated += len(lines) - len(set(lines))
        wanted = problem.check.get("lines")
        num_wanted += len(wanted) if isinstance(wanted, Sequence) else len(lines)
    count = len(problems)
    return Score(right / count, num_steps / count, num_repeated / num_wanted)


def load(folder: Path) -> Streams:
    """Load an export; or, with the tokenizer of the bundled model, the state of a run."""
    state = folder / FILE_NAME
    start = Path("runtime/assets/mini") if state.is_file() else folder
    model, tokenizer = from_export(0, start)
    if state.is_file():
        model.load_state_dict(torch.load(state, weights_only=True)["model"])
    return Streams(model, tokenizer)


def main() -> None:
    """Read the command line, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("runtime/assets/mini"))
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--only", default="", help="ways whose name begins so")
    args = parser.parse_args()
    torch.set_num_threads(1)  # the products are too small to share
    streams = load(args.model)
    for name, (skill, way) in WAYS.items():
        if name.startswith(args.only):
            score = measure(streams, heldout_problems(skill, SEED, args.problems), way)
            figures = "  ".join(f"{key} {value:.3f}" for key, value in score._asdict().items())
            print(f"{name:22} {figures}", flush=True)


if __name__ == "__main__":
    main()

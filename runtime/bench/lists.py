"""Lists of independent sums, solved by one lane, by several, and by several that are blind."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from weft.programs import gen, hogwild, program
from weft.programs.generate import GenOptions
from weft.programs.lane import Layout
from weft.programs.message import Message
from weft.runtime.bench.findings import Findings
from weft.runtime.bench.interleave import interleave_items, median_ratio
from weft.runtime.bench.options import BenchOptions
from weft.runtime.engine import Engine, EngineConfig, open_engine
from weft.runtime.executor import Run

__all__ = ["SumList", "bench_lists", "recorded_lists"]

NUM_ITEMS, NUM_LISTS = 8, 40
LANE_TOKENS = 400
OPTIONS: GenOptions = {"temperature": 0.0, "max_tokens": 380}


class _Way(NamedTuple):
    """How a list is solved."""

    lanes: int
    """0: by an ordinary ``gen``."""
    layout: Layout = "contiguous"


WAYS: Mapping[str, _Way] = {
    "alone": _Way(0),
    "lanes1": _Way(1),
    "lanes2": _Way(2),
    "lanes4": _Way(4),
    "blind2": _Way(2, "blind"),
    "blind4": _Way(4, "blind"),
}


class SumList(NamedTuple):
    """A list and the lines that solve it."""

    messages: tuple[Message, ...]
    lines: tuple[str, ...]


@dataclass(slots=True)
class _Served:
    """What one way did in all rounds."""

    right: dict[int, int] = field(default_factory=dict[int, int])
    """By list, items with a right line and no wrong one: greedy, so the same in all rounds."""
    repeated: dict[int, int] = field(default_factory=dict[int, int])
    """By list, lines written for items that another lane solved, too."""
    seconds: list[float] = field(default_factory=list[float])
    """Of every list, until the last lane had ended."""


def bench_lists(
    findings: Findings, options: BenchOptions, *, folder: Path, num: int = NUM_LISTS
) -> None:
    """Time to all answers of lists of 8, one list at a time, greedily, prompts always computed.

    Figures: ``list8_lanes2_time_ratio`` and ``list8_lanes4_time_ratio`` are times over that of
    one lane; ``list8_accuracy_delta_points`` is how many items of a hundred fewer or more are
    right with as many lanes as differ most; ``list8_blind2_…`` and ``list8_blind4_…`` are lanes
    that do not see each other.
    """
    lists = recorded_lists(folder / "heldout" / "lists.jsonl", num)
    if not lists:
        findings.missing.append("list8: the model has no held-out lists")
        return
    served = {name: _Served() for name in WAYS}
    deadline = time.monotonic() + options.limit_s
    with asyncio.Runner() as runner:
        config = EngineConfig(has_prefix_cache=False)
        engine = runner.run(open_engine(str(folder), config=config, seed=options.seed))

        def measure(name: str, number: int, item: int) -> float:
            if item == 0:
                options.say(f"hogwild: lists of {NUM_ITEMS}, {name}, round {number + 1}")
            return runner.run(_measure(engine, lists[item], item, WAYS[name], served[name]))

        for name in WAYS:
            for one in lists[:4]:
                runner.run(_measure(engine, one, 0, WAYS[name], _Served()))
        seconds = interleave_items(
            list(WAYS),
            measure,
            num_items=len(lists),
            num_rounds=options.rounds,
            may_go_on=lambda: time.monotonic() < deadline,
        )
        runner.run(engine.close())
    _note(findings, seconds, served, num_asked=options.rounds, num_items=len(lists) * NUM_ITEMS)


def recorded_lists(file: Path, num: int) -> list[SumList]:
    """Up to ``num`` held-out lists, cut to 8 items where they have more; none without the file."""
    if not file.exists():
        return []
    problems = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    found = [one for one in problems if len(one["check"]["lines"]) >= NUM_ITEMS]
    return [_recorded(one) for one in found[:num]]


def _recorded(problem: Mapping[str, Any]) -> SumList:
    system, user = problem["messages"][:2]
    asked = "\n".join(user["content"].splitlines()[:NUM_ITEMS])
    messages = (
        Message(role="system", content=system["content"]),
        Message(role="user", content=asked),
    )
    lines: Sequence[str] = problem["check"]["lines"]
    return SumList(messages, tuple(lines[:NUM_ITEMS]))


async def _measure(engine: Engine, one: SumList, item: int, way: _Way, served: _Served) -> float:
    """Seconds of one list."""
    run = await Run.start(solve, one.messages, way.lanes, way.layout, engine=engine)
    texts, seconds = await run.result()
    served.seconds.append(seconds)
    served.right[item], served.repeated[item] = _judge(one, texts)
    return seconds


@program
async def solve(
    messages: tuple[Message, ...], lanes: int, layout: Layout
) -> tuple[list[str], float]:
    """What each lane wrote, and the seconds it took."""
    started = time.perf_counter()
    if lanes == 0:
        texts = [await gen(messages, **OPTIONS)]
    else:
        team = hogwild(messages, lanes=lanes, layout=layout, lane_tokens=LANE_TOKENS, **OPTIONS)
        async with team:
            texts = await team.texts()
    return texts, time.perf_counter() - started


def _judge(one: SumList, texts: Sequence[str]) -> tuple[int, int]:
    """Right and repeated items: one is right when its line was written, and no other for it."""
    num_right = num_repeated = 0
    written = [line.strip() for text in texts for line in text.splitlines() if line.strip()]
    for number, line in enumerate(one.lines, 1):
        found = [each for each in written if each.startswith(f"{number}:")]
        num_right += bool(found) and set(found) == {line}
        num_repeated += max(0, len(found) - 1)
    return num_right, num_repeated


def _note(
    findings: Findings,
    seconds: Mapping[str, Sequence[float]],
    served: Mapping[str, _Served],
    *,
    num_asked: int,
    num_items: int,
) -> None:
    num_rounds = len(seconds["lanes1"])
    num_right = {name: sum(one.right.values()) for name, one in served.items()}
    points = {name: 100.0 * right / num_items for name, right in num_right.items()}
    for name in ("lanes2", "lanes4", "blind2", "blind4", "alone"):
        ratio = median_ratio(seconds, name, "lanes1")
        findings.note(f"list8_{name}_time_ratio", ratio, num_rounds=num_rounds, num_asked=num_asked)
    deltas = [points[name] - points["lanes1"] for name in ("lanes2", "lanes4")]
    findings.figures["list8_accuracy_delta_points"] = max(deltas, key=abs)
    for name, one in served.items():
        findings.figures[f"list8_accuracy_points_{name}"] = points[name]
        findings.rows.append(
            {
                "what": f"lists of {NUM_ITEMS}, {name}",
                "num_rounds": num_rounds,
                "num_lists": num_items // NUM_ITEMS,
                "median_ms": 1e3 * statistics.median(one.seconds),
                "num_items": num_items,
                "num_right": num_right[name],
                "num_repeated": sum(one.repeated.values()),
            }
        )

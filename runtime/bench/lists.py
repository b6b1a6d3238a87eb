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

__all__ = ["SEEING", "SumList", "bench_lists", "recorded_lists"]

NUM_ITEMS, NUM_LISTS, NUM_WARM = 8, 40, 2
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


SEEING: Mapping[str, _Way] = {name: WAYS[name] for name in ("lanes1", "lanes2", "lanes4")}
"""Those that a larger model has time for."""


def bench_lists(
    findings: Findings,
    options: BenchOptions,
    *,
    folder: Path,
    num: int = NUM_LISTS,
    ways: Mapping[str, _Way] = WAYS,
    name: str = "list8",
    limit_s: float | None = None,
) -> None:
    """Time to all answers of lists of 8, one list at a time, greedily, prompts always computed.

    Figures: ``list8_lanes2_time_ratio`` and ``list8_lanes4_time_ratio`` are times over that of
    one lane; ``list8_accuracy_delta_points`` is how many items of a hundred fewer or more are
    right with as many lanes as differ most; ``list8_blind2_…`` and ``list8_blind4_…`` are lanes
    that do not see each other. Another ``name`` stands in the place of ``list8``. No round but the
    first begins after ``limit_s``.
    """
    lists = recorded_lists(folder / "heldout" / "lists.jsonl", num)
    if not lists:
        findings.missing.append(f"{name}: the model has no held-out lists")
        return
    served = {way: _Served() for way in ways}
    deadline = time.monotonic() + (options.limit_s if limit_s is None else limit_s)
    with asyncio.Runner() as runner:
        config = EngineConfig(has_prefix_cache=False)
        engine = runner.run(open_engine(str(folder), config=config, seed=options.seed))

        def measure(way: str, number: int, item: int) -> float:
            if item == 0:
                options.say(f"hogwild: {name}, {way}, round {number + 1}")
            return runner.run(_measure(engine, lists[item], item, ways[way], served[way]))

        for way in ways:
            for one in lists[:NUM_WARM]:
                runner.run(_measure(engine, one, 0, ways[way], _Served()))
        seconds = interleave_items(
            list(ways),
            measure,
            num_items=len(lists),
            num_rounds=options.rounds,
            may_go_on=lambda: time.monotonic() < deadline,
        )
        runner.run(engine.close())
    notes = _Notes(findings, name, len(seconds["lanes1"]), options.rounds)
    _note(notes, seconds, served, num_items=len(lists) * NUM_ITEMS)


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


class _Notes(NamedTuple):
    """Where figures go."""

    findings: Findings
    name: str
    num_rounds: int
    num_asked: int

    def note(self, what: str, value: float) -> None:
        self.findings.note(
            f"{self.name}_{what}", value, num_rounds=self.num_rounds, num_asked=self.num_asked
        )


def _note(
    notes: _Notes,
    seconds: Mapping[str, Sequence[float]],
    served: Mapping[str, _Served],
    *,
    num_items: int,
) -> None:
    figures, num_lists = notes.findings.figures, num_items // NUM_ITEMS
    num_right = {way: sum(one.right.values()) for way, one in served.items()}
    points = {way: 100.0 * right / num_items for way, right in num_right.items()}
    for way in served:
        if way != "lanes1":
            notes.note(f"{way}_time_ratio", median_ratio(seconds, way, "lanes1"))
    deltas = [points[way] - points["lanes1"] for way in ("lanes2", "lanes4")]
    figures[f"{notes.name}_accuracy_delta_points"] = max(deltas, key=abs)
    for way, one in served.items():
        figures[f"{notes.name}_accuracy_points_{way}"] = points[way]
        notes.findings.rows.append(
            {
                "what": f"{notes.name}, {way}",
                "num_rounds": notes.num_rounds,
                "num_lists": num_lists,
                "median_ms": 1e3 * statistics.median(one.seconds),
                "num_items": num_items,
                "num_right": num_right[way],
                "num_repeated": sum(one.repeated.values()),
            }
        )

"""The engines that run one model side by side."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from weft.errors import PeerFailed
from weft.runtime.bench.contender import Contender
from weft.runtime.bench.driver import Driver
from weft.runtime.bench.findings import Findings
from weft.runtime.bench.interleave import interleave, median_ratio
from weft.runtime.bench.workload import Workload

__all__ = ["Field"]

OURS = "weft"


class _Entry(NamedTuple):
    contender: Contender
    driver: Driver


class Field:
    """Contenders that have one model loaded. A peer that fails is named and leaves the field;
    weft's own failure is raised."""

    def __init__(
        self,
        findings: Findings,
        *,
        start: Callable[[Contender], Driver],
        may_go_on: Callable[[], bool],
        say: Callable[[str], None],
    ) -> None:
        self._findings = findings
        self._start = start
        self._may_go_on = may_go_on
        self._say = say
        self._entries: dict[str, _Entry] = {}
        self._stack = ExitStack()
        self._runners: list[str] = []

    def load(self, contenders: Sequence[Contender], folder: Path, **limits: int) -> None:
        """Start every contender and let it load ``folder``."""
        for contender in contenders:
            self._say(f"{folder.name}: {contender.name} loads")
            try:
                driver = self._stack.enter_context(self._start(contender))
                self._entries[contender.name] = _Entry(contender, driver)
                version = driver.call("load", model=str(folder), dtype=contender.dtype, **limits)
            except PeerFailed as error:
                self._drop(contender, error, folder.name)
                continue
            if version:
                self._findings.versions[contender.kind] = version

    def race(self, workload: Workload, *, num_rounds: int, seconds: float, has_pilot: bool) -> None:
        """Measure ``workload`` in interleaved rounds and note its rows and figures.

        With ``has_pilot`` all variants of a peer are tried first, and only the faster one of
        each goes on: in this race and in those that follow without a pilot.
        """
        self._say(f"{workload.model} {workload.phase} at batch {workload.batch}")
        names = (
            list(self._entries) if has_pilot else [n for n in self._runners if n in self._entries]
        )
        absent = [name for name in names if not self._enters(name, workload)]
        names = [name for name in names if name not in absent]
        pilots = {name: rate for name in names if (rate := self._pilot(name, workload))}
        if has_pilot:
            self._runners = [*self._fastest_of_each_kind(pilots), *absent]
            self._note_left_out(workload, pilots)
        rates = self._rounds(workload, pilots, num_rounds, seconds)
        self._note(workload, rates)

    def _enters(self, name: str, workload: Workload) -> bool:
        max_batch = self._entries[name].contender.max_batch
        return max_batch is None or workload.batch <= max_batch

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _pilot(self, name: str, workload: Workload) -> float | None:
        contender, driver = self._entries[name]
        try:
            return workload.pilot(driver)
        except PeerFailed as error:
            self._drop(contender, error, workload.model)
            return None

    def _fastest_of_each_kind(self, pilots: dict[str, float]) -> list[str]:
        best: dict[str, str] = {}
        for name in sorted(pilots, key=pilots.__getitem__):
            best[self._entries[name].contender.kind] = name
        return [name for name in pilots if name in best.values()]

    def _rounds(
        self, workload: Workload, pilots: dict[str, float], num_rounds: int, seconds: float
    ) -> dict[str, list[float]]:
        runners = [name for name in self._runners if name in pilots]
        num_tokens = workload.tokens_for(max(pilots[name] for name in runners), seconds)

        def measure(name: str, number: int) -> float:
            if name not in self._entries:
                return math.nan
            contender, driver = self._entries[name]
            try:
                return workload.rate(driver, number, num_tokens)
            except PeerFailed as error:
                self._drop(contender, error, workload.model)
                return math.nan

        rates = interleave(runners, measure, num_rounds=num_rounds, may_go_on=self._may_go_on)
        return {name: values for name, values in rates.items() if name in self._entries}

    def _note_left_out(self, workload: Workload, pilots: dict[str, float]) -> None:
        for name, rate in pilots.items():
            if name not in self._runners:
                self._note_row(workload, name, [rate], num_rounds=0)

    def _note(self, workload: Workload, rates: dict[str, list[float]]) -> None:
        figures = self._findings.figures
        for name, values in rates.items():
            kind = self._entries[name].contender.kind
            self._note_row(workload, name, values, num_rounds=len(values))
            figures[workload.figure(f"{kind}_tokens_per_s")] = statistics.median(values)
            if kind != OURS:
                figures[workload.figure(f"vs_{kind}")] = median_ratio(rates, OURS, name)

    def _note_row(
        self, workload: Workload, name: str, rates: Sequence[float], *, num_rounds: int
    ) -> None:
        self._findings.rows.append(
            {
                "model": workload.model,
                "phase": workload.phase,
                "batch": workload.batch,
                "prompt_tokens": workload.prompt_tokens,
                "contender": name,
                "num_rounds": num_rounds,
                "tokens_per_s": statistics.median(rates),
                "slowest": min(rates),
                "fastest": max(rates),
            }
        )

    def _drop(self, contender: Contender, error: PeerFailed, model: str) -> None:
        if contender.kind == OURS:
            raise error
        self._findings.missing.append(f"{contender.name} on {model}: {error}")
        entry = self._entries.pop(contender.name, None)
        if entry is not None:
            entry.driver.close()

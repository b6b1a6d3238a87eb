"""The engines that run one model side by side."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from weft.runtime.bench.contender import Contender
from weft.runtime.bench.driver import Driver
from weft.runtime.bench.findings import Findings
from weft.runtime.bench.interleave import interleave, median_ratio
from weft.runtime.bench.roster import Roster
from weft.runtime.bench.workload import Workload

__all__ = ["Field"]

OURS = "weft"
OWN_DTYPE, OWN_NAME = "bfloat16", "bf16"
"""What the checkpoints of the benches are stored in, and what figures call it."""
MAX_TRIAL_S = 3.0
"""A variant that lost a trial has another one only where that takes no longer."""
LOAD_TIMEOUT_S = 600.0


class Field:
    """Contenders that have one model loaded. A peer that fails is named and leaves the field;
    weft's own failure is raised."""

    def __init__(
        self,
        findings: Findings,
        *,
        start: Callable[[Contender], Driver],
        say: Callable[[str], None],
    ) -> None:
        self._findings = findings
        self._say = say
        self._roster = Roster(findings, start, own_kinds=(OURS,))
        self._chosen: list[str] = []
        self._pilots: dict[str, float] = {}
        self._lost: dict[str, float] = {}
        self._piloted: Workload | None = None

    def load(self, contenders: Sequence[Contender], folder: Path, **limits: int) -> None:
        """Start every contender and let it load ``folder``."""
        # All start before any loads: one core each. What follows takes all cores, and two at once
        # would only wait for each other's threads.
        self._roster.begin(contenders, folder.name)
        for name in self._roster:
            self._say(f"{folder.name}: {name} loads")
            self._load(name, folder, limits)

    @property
    def has_chosen(self) -> bool:
        """Whether ``choose`` was called."""
        return bool(self._chosen)

    def choose(self, workload: Workload) -> None:
        """Try the variants of every peer: until the next trial only the fastest of each races.
        The trials of the others are noted as rows of no round.

        A variant that lost the last trial is not tried where that would take long: emulating a
        dtype may cost half a minute a call. Where no peer has a choice left nothing is run.
        """
        absent = [name for name in self._roster if not self._enters(name, workload)]
        names = [
            name
            for name in self._roster
            if name not in absent and not self._is_beaten(name, workload)
        ]
        if len({self._kind(name) for name in names}) == len(names):
            self._chosen = [*names, *absent]
            return
        self._say(f"{workload.model} {workload.phase} at batch {workload.batch}: trials")
        self._pilots, self._piloted = self._speeds(names, workload.pilot), workload
        best = self._fastest_of_each_kind()
        self._chosen = [*best.values(), *absent]
        for name, rate in self._pilots.items():
            if name not in self._chosen:
                self._lost[name] = rate
                self._note_row(workload, name, [rate], num_rounds=0)

    def race(
        self,
        workload: Workload,
        *,
        num_rounds: int,
        seconds: float,
        may_go_on: Callable[[], bool],
        has_own_dtype: bool = False,
    ) -> None:
        """Measure ``workload`` in interleaved rounds and note its rows and figures.

        The fastest contender decodes for about ``seconds`` a round. ``may_go_on`` is asked before
        each round but the first. With ``has_own_dtype`` the variants in the checkpoint's own
        dtype race too where others of their kind are faster.
        """
        self._say(f"{workload.model} {workload.phase} at batch {workload.batch}")
        names = self._racers(workload, has_own_dtype=has_own_dtype)
        known = self._pilots if workload == self._piloted else {}
        fresh = [name for name in names if name not in known]
        speeds = {**known, **self._speeds(fresh, workload.warm)}
        names = [name for name in names if name in self._roster]
        num_tokens = workload.tokens_for(max(speeds[name] for name in names), seconds)

        def measure(name: str, number: int) -> float:
            return self._rate(name, lambda at: workload.rate(at, number, num_tokens))

        rates = interleave(names, measure, num_rounds=num_rounds, may_go_on=may_go_on)
        self._note(workload, {n: rates[n] for n in names if n in self._roster}, num_rounds)

    def close(self) -> None:
        """Close every driver."""
        self._roster.close()

    def _load(self, name: str, folder: Path, limits: Mapping[str, int]) -> None:
        contender = self._roster[name]
        version = self._roster.ask(
            name,
            lambda driver: driver.call(
                "load", timeout_s=LOAD_TIMEOUT_S, model=str(folder), dtype=contender.dtype, **limits
            ),
        )
        if version:
            self._findings.versions[contender.kind] = version

    def _enters(self, name: str, workload: Workload) -> bool:
        max_batch = self._roster[name].max_batch
        return max_batch is None or workload.batch <= max_batch

    def _is_beaten(self, name: str, workload: Workload) -> bool:
        rivals = [one for one in self._chosen if one in self._roster and one != name]
        has_rival = self._kind(name) in map(self._kind, rivals)
        if name in self._chosen or name not in self._lost or not has_rival:
            return False
        return workload.trial_tokens / self._lost[name] > MAX_TRIAL_S

    def _racers(self, workload: Workload, *, has_own_dtype: bool) -> list[str]:
        return [
            name
            for name in self._roster
            if self._enters(name, workload)
            and (name in self._chosen or (has_own_dtype and self._roster[name].dtype == OWN_DTYPE))
        ]

    def _rate(self, name: str, measure: Callable[[Driver], float]) -> float:
        """What is measured; no number from a contender that has left, or leaves now."""
        rate = self._roster.ask(name, measure)
        return math.nan if rate is None else rate

    def _speeds(self, names: Sequence[str], measure: Callable[[Driver], float]) -> dict[str, float]:
        """Of those that stay in the field."""
        rates = {name: self._rate(name, measure) for name in names}
        return {name: rate for name, rate in rates.items() if name in self._roster}

    def _fastest_of_each_kind(self) -> dict[str, str]:
        """Names by kind."""
        names = sorted(self._pilots, key=self._pilots.__getitem__)
        return {self._kind(name): name for name in names}

    def _kind(self, name: str) -> str:
        return self._roster[name].kind

    def _note(self, workload: Workload, rates: Mapping[str, list[float]], num_asked: int) -> None:
        """Of each kind its fastest variant gives the figures; a variant in the checkpoint's own
        dtype gives those that say so, whether it is the fastest or not."""
        by_speed = sorted(rates, key=lambda name: statistics.median(rates[name]))
        fastest = {self._kind(name): name for name in by_speed}
        for name, values in rates.items():
            contender = self._roster[name]
            self._note_row(workload, name, values, num_rounds=len(values))
            labels = [contender.kind] if fastest[contender.kind] == name else []
            if contender.dtype == OWN_DTYPE:
                labels.append(f"{contender.kind}_{OWN_NAME}")
            for label in labels:
                self._note_figures(workload, label, name, rates, num_asked)

    def _note_figures(
        self,
        workload: Workload,
        label: str,
        name: str,
        rates: Mapping[str, list[float]],
        num_asked: int,
    ) -> None:
        is_ours = self._kind(name) == OURS
        found = {f"{label}_tokens_per_s": statistics.median(rates[name])}
        if not is_ours:
            found[f"vs_{label}"] = median_ratio(rates, OURS, name)
        for what, value in found.items():
            self._findings.note(
                workload.figure(what),
                value,
                num_rounds=len(rates[name]),
                num_asked=num_asked,
                peer="" if is_ours else name,
            )

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

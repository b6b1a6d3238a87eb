"""Those that fork and join side by side: weft in three ways, and the peer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from weft.runtime.bench.contender import Contender
from weft.runtime.bench.driver import Driver
from weft.runtime.bench.findings import Findings
from weft.runtime.bench.forked import Fork, Took
from weft.runtime.bench.interleave import interleave
from weft.runtime.bench.options import BenchOptions
from weft.runtime.bench.roster import Roster

__all__ = ["FORK", "MAX_CONTEXT", "PEER", "WAYS", "ForkField"]

WAYS = ("shared", "text", "separate")
"""weft's three ways; the others are compared with the first."""
PEER = "vllm"
MAX_CONTEXT = 8192
TIMEOUT_S = 900.0
"""Of one operation: the slowest takes a minute where nothing else runs."""
FORK = Fork(context_tokens=4096, num_tokens=64)
WARM = Fork(context_tokens=512, num_tokens=16)
"""Also the trial that chooses the peer's dtype."""


class ForkField:
    """Contenders that have the model loaded."""

    def __init__(
        self, findings: Findings, options: BenchOptions, start: Callable[[Contender], Driver]
    ) -> None:
        self._findings = findings
        self._options = options
        self._roster = Roster(findings, start, own_kinds=WAYS)

    def load(self, contenders: Sequence[Contender], folder: Path) -> None:
        """Start every contender and let it load ``folder``."""
        self._roster.begin(contenders, folder.name)
        for name in self._roster:
            self._options.say(f"forks: {name} loads")
            self._load(self._roster[name], folder)

    def _load(self, contender: Contender, folder: Path) -> None:
        is_peer = contender.kind == PEER
        version = self._roster.ask(
            contender.name,
            lambda driver: driver.call(
                "load",
                timeout_s=TIMEOUT_S,
                model=str(folder),
                dtype=contender.dtype,
                max_context=MAX_CONTEXT,
                max_batch=FORK.num_branches,
                seed=self._options.seed,
                **({"has_prefix_cache": True} if is_peer else {}),
            ),
        )
        if is_peer and version is not None:
            self._findings.versions[PEER] = version

    @property
    def sees_branches(self) -> bool:
        return bool(self._roster.ask("shared", lambda driver: driver.call("sees_branches")))

    def choose(self) -> None:
        """Warm all up; of the peer's dtypes only the fastest stays."""
        tried = {name: self._ask(name, WARM, "warm") for name in self._roster}
        times = {name: took.total_s for name, took in tried.items() if took and name not in WAYS}
        for name in sorted(times, key=times.__getitem__)[1:]:
            self._roster.dismiss(name)

    def race(self, may_go_on: Callable[[], bool]) -> dict[str, list[Took]]:
        """What each contender took, by round."""
        took: dict[str, list[Took]] = {name: [] for name in self._roster}

        def measure(name: str, number: int) -> float:
            self._options.say(f"forks: {name}, round {number + 1}")
            one = self._ask(name, FORK, number)
            if one is None:
                return math.nan
            took[name].append(one)
            return one.total_s

        interleave(
            list(self._roster), measure, num_rounds=self._options.rounds, may_go_on=may_go_on
        )
        return {name: took[name] for name in self._roster}

    def _ask(self, name: str, fork: Fork, *call: object) -> Took | None:
        """``None`` from a contender that has left, or leaves now."""
        prompts = fork.prompts(self._options.seed, *call)
        answer = self._roster.ask(
            name, lambda driver: driver.call("fork", timeout_s=TIMEOUT_S, **prompts)
        )
        return None if answer is None else Took(**answer)

    def close(self) -> None:
        """Close every driver."""
        self._roster.close()

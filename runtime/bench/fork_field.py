"""Those that fork and join side by side: weft in three ways, and the peer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from weft.errors import PeerFailed
from weft.runtime.bench.contender import Contender
from weft.runtime.bench.driver import Driver
from weft.runtime.bench.findings import Findings
from weft.runtime.bench.forked import Fork, Took
from weft.runtime.bench.interleave import interleave
from weft.runtime.bench.options import BenchOptions

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
    """Contenders that have the model loaded. The peer is named and leaves when it fails."""

    def __init__(
        self, findings: Findings, options: BenchOptions, start: Callable[[Contender], Driver]
    ) -> None:
        self._findings = findings
        self._options = options
        self._start = start
        self._drivers: dict[str, Driver] = {}
        self._stack = ExitStack()

    def load(self, contenders: Sequence[Contender], folder: Path) -> None:
        """Start every contender and let it load ``folder``."""
        # All start before any loads: they import their packages side by side.
        for contender in contenders:
            try:
                driver = self._stack.enter_context(self._start(contender))
            except PeerFailed as error:
                self._drop(contender.name, error)
                continue
            self._drivers[contender.name] = driver
        for contender in contenders:
            if contender.name in self._drivers:
                self._options.say(f"forks: {contender.name} loads")
                self._load(contender, folder)

    def _load(self, contender: Contender, folder: Path) -> None:
        is_peer = contender.kind == PEER
        try:
            version = self._drivers[contender.name].call(
                "load",
                timeout_s=TIMEOUT_S,
                model=str(folder),
                dtype=contender.dtype,
                max_context=MAX_CONTEXT,
                max_batch=FORK.num_branches,
                seed=self._options.seed,
                **({"has_prefix_cache": True} if is_peer else {}),
            )
        except PeerFailed as error:
            self._drop(contender.name, error)
            return
        if is_peer:
            self._findings.versions[PEER] = version

    @property
    def sees_branches(self) -> bool:
        return bool(self._drivers["shared"].call("sees_branches"))

    def choose(self) -> None:
        """Warm all up; of the peer's dtypes only the fastest stays."""
        tried = {name: self._ask(name, WARM, "warm") for name in list(self._drivers)}
        times = {name: took.total_s for name, took in tried.items() if took and name not in WAYS}
        for name in sorted(times, key=times.__getitem__)[1:]:
            self._drivers.pop(name).close()

    def race(self, may_go_on: Callable[[], bool]) -> dict[str, list[Took]]:
        """What each contender took, by round."""
        took: dict[str, list[Took]] = {name: [] for name in self._drivers}

        def measure(name: str, number: int) -> float:
            self._options.say(f"forks: {name}, round {number + 1}")
            one = self._ask(name, FORK, number)
            if one is None:
                return math.nan
            took[name].append(one)
            return one.total_s

        interleave(
            list(self._drivers), measure, num_rounds=self._options.rounds, may_go_on=may_go_on
        )
        return {name: took[name] for name in self._drivers}

    def _ask(self, name: str, fork: Fork, *call: object) -> Took | None:
        """``None`` from a contender that has left, or leaves now."""
        if name not in self._drivers:
            return None
        prompts = fork.prompts(self._options.seed, *call)
        try:
            answer = self._drivers[name].call("fork", timeout_s=TIMEOUT_S, **prompts)
        except PeerFailed as error:
            self._drop(name, error)
            return None
        return Took(**answer)

    def _drop(self, name: str, error: PeerFailed) -> None:
        if name in WAYS:
            raise error
        self._findings.missing.append(f"{name}: {error}")
        driver = self._drivers.pop(name, None)
        if driver is not None:
            driver.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

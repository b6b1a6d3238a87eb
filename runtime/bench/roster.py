"""Contenders whose drivers run: who is in, and who has left."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from typing import NamedTuple, TypeVar

from weft.errors import PeerFailed
from weft.runtime.bench.contender import Contender
from weft.runtime.bench.driver import Driver
from weft.runtime.bench.findings import Findings

__all__ = ["Roster"]

T = TypeVar("T")


class _Entry(NamedTuple):
    contender: Contender
    driver: Driver


class Roster:
    """Contenders by name. A peer that fails is named and leaves; weft's own failure is raised.
    ``close`` it in the end."""

    def __init__(
        self,
        findings: Findings,
        start: Callable[[Contender], Driver],
        *,
        own_kinds: Collection[str],
    ) -> None:
        self.model = ""
        """Which model they have loaded, for what is said of those that leave."""
        self._findings = findings
        self._start = start
        self._own_kinds = own_kinds
        self._entries: dict[str, _Entry] = {}
        self._stack = ExitStack()

    def begin(self, contenders: Sequence[Contender], model: str) -> None:
        """Start the drivers: they import their packages side by side."""
        self.model = model
        for contender in contenders:
            try:
                driver = self._stack.enter_context(self._start(contender))
            except PeerFailed as error:
                self._drop(contender, error)
            else:
                self._entries[contender.name] = _Entry(contender, driver)

    def ask(self, name: str, question: Callable[[Driver], T]) -> T | None:
        """Its answer; ``None`` of a contender that has left, or leaves now."""
        if name not in self._entries:
            return None
        contender, driver = self._entries[name]
        try:
            return question(driver)
        except PeerFailed as error:
            self._drop(contender, error)
            return None

    def dismiss(self, name: str) -> None:
        """Close its driver; it has not failed."""
        self._entries.pop(name).driver.close()

    def __getitem__(self, name: str) -> Contender:
        return self._entries[name].contender

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        """Names of those that are in now."""
        return iter(tuple(self._entries))

    def close(self) -> None:
        """Close every driver."""
        self._stack.close()

    def _drop(self, contender: Contender, error: PeerFailed) -> None:
        if contender.kind in self._own_kinds:
            raise error
        self._findings.missing.append(f"{contender.name} on {self.model}: {error}")
        entry = self._entries.pop(contender.name, None)
        if entry is not None:
            entry.driver.close()

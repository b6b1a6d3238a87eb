"""What a bench has found so far."""

from __future__ import annotations

from weft.runtime.bench.report import Basis, Row

__all__ = ["Findings"]


class Findings:
    """Grows while a bench runs; the registry makes a report of it."""

    def __init__(self) -> None:
        self.figures: dict[str, float] = {}
        self.basis: dict[str, Basis] = {}
        self.rows: list[Row] = []
        self.missing: list[str] = []
        self.versions: dict[str, str] = {}
        """Of the peers that ran."""

    def note(
        self, name: str, value: float, *, num_rounds: int, num_asked: int, peer: str = ""
    ) -> None:
        """Add a figure with what it rests on: see ``Basis``."""
        self.figures[name] = value
        self.basis[name] = Basis(num_rounds=num_rounds, num_asked=num_asked, peer=peer)

    def rename(self, old: str, new: str) -> None:
        """Call a figure by a better name, if it is there."""
        if old in self.figures:
            self.figures[new] = self.figures.pop(old)
        if old in self.basis:
            self.basis[new] = self.basis.pop(old)

"""What a bench has found so far."""

from __future__ import annotations

from weft.runtime.bench.report import Row

__all__ = ["Findings"]


class Findings:
    """Grows while a bench runs; the registry makes a report of it."""

    def __init__(self) -> None:
        self.figures: dict[str, float] = {}
        self.rows: list[Row] = []
        self.missing: list[str] = []
        self.versions: dict[str, str] = {}
        """Of the peers that ran."""

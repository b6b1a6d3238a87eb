"""What a bench found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["BenchReport", "Row"]

Row = Mapping[str, str | int | float]
"""One measured point, by column: whatever is needed to check a figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchReport:
    """The figures of one bench, with what they were measured on."""

    bench: str
    figures: Mapping[str, float]
    """Name to number: ratios (``…_vs_PEER…``) and absolutes with their unit in the name."""
    rows: tuple[Row, ...]
    """The measurements behind the figures."""
    missing: tuple[str, ...]
    """What could not be measured and why, one line each."""
    machine: Mapping[str, str | int | float]
    commit: str
    """Of the checkout, with ``+`` when it had changes; empty outside a checkout."""
    seed: int

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(
            {
                "bench": self.bench,
                "figures": dict(self.figures),
                "rows": [dict(row) for row in self.rows],
                "missing": list(self.missing),
                "machine": dict(self.machine),
                "commit": self.commit,
                "seed": self.seed,
            },
            allow_nan=False,
        )

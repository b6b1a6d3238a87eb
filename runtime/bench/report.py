"""What a bench found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

__all__ = ["Basis", "BenchReport", "Row"]

Row = Mapping[str, str | int | float]
"""One measured point, by column: whatever is needed to check a figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """What one figure rests on."""

    num_rounds: int
    """Interleaved rounds whose median it is."""
    num_asked: int
    """Rounds that were asked for."""
    peer: str = ""
    """Whom it compares with or is about, with the dtype that one ran in; empty for weft alone."""

    @property
    def is_short(self) -> bool:
        """Time ended before all rounds were measured."""
        return self.num_rounds < self.num_asked


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
    basis: Mapping[str, Basis] = field(default_factory=dict[str, Basis])
    """By figure; those that are no median of rounds are not in it."""

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(
            {
                "bench": self.bench,
                "figures": dict(self.figures),
                "basis": {
                    name: {**asdict(basis), "is_short": basis.is_short}
                    for name, basis in self.basis.items()
                },
                "rows": [dict(row) for row in self.rows],
                "missing": list(self.missing),
                "machine": dict(self.machine),
                "commit": self.commit,
                "seed": self.seed,
            },
            allow_nan=False,
        )

"""How much a program may use."""

from __future__ import annotations

import math
from dataclasses import dataclass

from weft.errors import InvalidRequest

__all__ = ["Budget"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Limits on a program and everything below it; ``None`` is no limit.

    A child program may narrow what it inherits, never widen it. Once a limit is crossed, Steps
    that run under it are cancelled and raise BudgetExceeded, and so does every new one.
    Raises InvalidRequest at construction.
    """

    tokens: int | None = None
    """Generated tokens, over all sequences. Prompt tokens are reported but not limited."""
    steps: int | None = None
    """Steps submitted, of any kind."""
    value_calls: int | None = None
    """Verifier calls."""
    seconds: float | None = None
    """Time on the Run's clock from the start of the program."""
    samples: int | None = None
    """Sequences asked for: a ``gen`` with ``n=8`` counts 8."""

    def __post_init__(self) -> None:
        for name in ("tokens", "steps", "value_calls", "samples", "seconds"):
            limit: float | None = getattr(self, name)
            if limit is not None and not (limit >= 0 and math.isfinite(limit)):
                raise InvalidRequest(
                    f"Budget({name}=…) is {limit!r}.", remedy="It must be at least 0, or None."
                )

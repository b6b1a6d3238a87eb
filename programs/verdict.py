"""What a verifier says about a candidate."""

from __future__ import annotations

import math
from dataclasses import dataclass

from weft.errors import WrongReturnType

__all__ = ["Verdict", "as_verdict"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A judgement: larger scores are better; what they mean is the verifier's own matter."""

    score: float
    """Finite. ``True`` reads as 1.0 and ``False`` as 0.0."""
    comment: str = ""
    """Why, for people and for the next prompt."""


def as_verdict(value: object) -> Verdict:
    """A verifier's result as a Verdict; raises WrongReturnType when it is none."""
    verdict = Verdict(score=float(value)) if isinstance(value, int | float) else value
    if isinstance(verdict, Verdict) and math.isfinite(verdict.score):
        return verdict
    raise WrongReturnType(
        f"A verifier returned {value!r}.", remedy="Return a finite number, a bool or a Verdict."
    )

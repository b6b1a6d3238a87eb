"""Which models and which workloads are measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from weft.errors import InvalidRequest

__all__ = ["GPU_MODELS", "MODELS", "POINTS", "Point", "choose_models", "choose_points"]

ALL = "all"


class Point(NamedTuple):
    """What is done, and for how many sequences at once."""

    phase: Literal["decode", "prefill"]
    batch: int


MODELS = ("mini", "m197")
"""In the order in which they are measured."""
GPU_MODELS = ("qwen3_1b7",)
"""After those, where there is a CUDA device."""
POINTS: Mapping[str, Point] = {
    "decode:1": Point("decode", 1),
    "decode:8": Point("decode", 8),
    "decode:32": Point("decode", 32),
    "decode:128": Point("decode", 128),
    "prefill": Point("prefill", 4),
}
"""By the name under which it is asked for, in the order in which they are measured."""


def choose_models(asked: Sequence[str], *, has_gpu: bool) -> list[str]:
    """Those asked for; for none or ``all`` all that run here. Raises InvalidRequest."""
    known = [*MODELS, *GPU_MODELS]
    if has_gpu:
        return _choose("model", asked, known)
    for name in set(asked).intersection(GPU_MODELS):
        raise InvalidRequest(
            f"The model {name!r} is measured on a CUDA device, and torch finds none here.",
            remedy=f"Choose of {', '.join(MODELS)} or {ALL}.",
        )
    return [name for name in _choose("model", asked, known) if name in MODELS]


def choose_points(asked: Sequence[str]) -> list[Point]:
    """Those asked for, several in one text parted by commas; all for none or ``all``.

    Raises InvalidRequest.
    """
    names = [name for text in asked for name in text.split(",")]
    return [POINTS[name] for name in _choose("workload", names, list(POINTS))]


def _choose(what: str, asked: Sequence[str], known: Sequence[str]) -> list[str]:
    for name in asked:
        if name not in known and name != ALL:
            raise InvalidRequest(
                f"There is no {what} {name!r}.",
                remedy=f"Choose of {', '.join(known)} or {ALL}.",
            )
    is_all = not asked or ALL in asked
    return [name for name in known if is_all or name in asked]

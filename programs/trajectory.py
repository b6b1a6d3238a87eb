"""One sequence as an engine computed it."""

from __future__ import annotations

from dataclasses import dataclass

from weft.errors import InvalidRequest
from weft.programs.past import Past
from weft.programs.request import Completion, Request

__all__ = ["Trajectory", "trajectories_of", "why_lanes_are_not"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """What was given and what was drawn behind it, token by token.

    Raises: InvalidRequest when nothing was given, or there is not one value for every token drawn.
    """

    source: str
    """Who drew the tokens: the lineage of a Step, with ``[i]`` for one of several sequences."""
    past: Past | None = None
    prompt: tuple[int, ...]
    """Given, behind ``past``; never empty."""
    tokens: tuple[int, ...]
    """Drawn."""
    logprobs: tuple[float, ...] = ()
    """Of every token drawn, from the raw logits; empty where nobody asked for them."""
    behaviours: tuple[float, ...] = ()
    """As ``logprobs``, under the distribution that was really drawn from."""
    why_not: str = ""
    """Why its log-probabilities cannot be computed again; empty: they can."""

    def __post_init__(self) -> None:
        if not self.prompt:
            raise InvalidRequest(
                f"The trajectory of {self.source!r} has no prompt.",
                remedy="Give at least one token.",
            )
        for values in (self.logprobs, self.behaviours):
            if values and len(values) != len(self.tokens):
                raise InvalidRequest(
                    f"The trajectory of {self.source!r} has {len(values)} log-probabilities for "
                    f"{len(self.tokens)} tokens.",
                    remedy="Give one for every token that was drawn, or none.",
                )


def trajectories_of(
    source: str, request: Request, completions: tuple[Completion, ...]
) -> list[Trajectory]:
    """Of every sequence of a Request that drew tokens. A lane's turn stands behind what its team
    has in common, without what was written since."""
    return [
        Trajectory(
            source=source if request.n == 1 else f"{source}[{one.index}]",
            past=request.past,
            prompt=request.context if request.lane else request.prompt,
            tokens=one.token_ids,
            logprobs=tuple(entry.logprob for entry in one.logprobs),
            behaviours=tuple(entry.behaviour for entry in one.logprobs),
            why_not=why_lanes_are_not(request.lane.team.has_insertions) if request.lane else "",
        )
        for one in completions
        if one.token_ids
    ]


def why_lanes_are_not(has_insertions: bool) -> str:
    """Why the log-probabilities of a team's lanes cannot be computed again, as ``why_not`` says it.
    ``has_insertions``: they were given step heads or questions while they wrote."""
    why_not = "Lanes read each other's tokens as they were written, which no tree says."
    if has_insertions:
        why_not += " What they were given meanwhile counts as drawn."
    return why_not

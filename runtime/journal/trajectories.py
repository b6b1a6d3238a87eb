"""Recorded generations as one token tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NotRequired

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from weft.errors import InvalidRequest, JournalCorrupt
from weft.programs.past import Past, Placing, Segment
from weft.programs.token_tree import TokenTree
from weft.programs.token_trie import merge_trajectories
from weft.programs.trajectory import Trajectory, why_lanes_are_not
from weft.runtime.journal.record import StepRecord

__all__ = ["tree_of"]


def tree_of(steps: Iterable[StepRecord]) -> TokenTree:
    """What the finished generations among these Steps were given and drew, token by token.

    Raises: InvalidRequest when there are none; JournalCorrupt for a record that is not one of a
    generation.
    """
    trajectories = [one for step in steps for one in _trajectories(step)]
    if not trajectories:
        raise InvalidRequest(
            "No finished generation is recorded.", remedy="Choose a run that generated something."
        )
    return merge_trajectories(trajectories)


class _Past(TypedDict):
    segments: tuple[Segment, ...]
    parents: tuple[int, ...]
    placing: Placing


class _Lane(TypedDict):
    shared: tuple[int, ...]
    has_insertions: bool


class _Asked(TypedDict):
    tokens: tuple[int, ...]
    past: _Past | None
    lane: NotRequired[_Lane | None]
    n: int | None


class _Wrote(TypedDict):
    index: int
    token_ids: tuple[int, ...]
    logprobs: list[tuple[float, object, float]]


def _trajectories(step: StepRecord) -> Iterator[Trajectory]:
    if step.kind != "gen" or step.output_json is None:
        return
    try:
        asked = TypeAdapter(_Asked).validate_json(step.input_json)
        wrote = TypeAdapter(list[_Wrote]).validate_json(step.output_json)
    except ValidationError as error:
        raise JournalCorrupt(
            f"The record of Step {step.lineage!r} does not say what was generated from what.",
            remedy="Record the run anew.",
        ) from error
    past = Past(**asked["past"]) if asked["past"] else None
    lane = asked.get("lane")
    for one in wrote:
        if one["token_ids"]:
            suffix = f"[{one['index']}]" if (asked["n"] or 1) > 1 else ""
            yield Trajectory(
                source=f"{step.lineage}{suffix}",
                past=past,
                prompt=(*lane["shared"], *asked["tokens"]) if lane else asked["tokens"],
                tokens=one["token_ids"],
                logprobs=tuple(logprob for logprob, _, _ in one["logprobs"]),
                behaviours=tuple(behaviour for _, _, behaviour in one["logprobs"]),
                why_not=why_lanes_are_not(lane["has_insertions"]) if lane else "",
            )

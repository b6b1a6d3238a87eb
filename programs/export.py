"""What finished generations wrote, as one tree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from weft.errors import InvalidRequest
from weft.programs.context import Context
from weft.programs.handle import Step
from weft.programs.token_tree import TokenTree
from weft.programs.token_trie import merge_trajectories
from weft.programs.trajectory import Trajectory, trajectories_of

__all__ = ["export_tree"]


def export_tree(*written: Context | Step[Any]) -> TokenTree:
    """The very tokens that were given and drawn: of each ``gen`` that is given, and of each that is
    in a Context; what they have in common is there once.

    Ask for ``logprobs`` when they generate, and the tree has those. Nothing is encoded anew.

    Raises: InvalidRequest when one of them is not done, or none has generated anything.
    """
    steps = (step for one in written for step in (one.steps if isinstance(one, Context) else [one]))
    trajectories = [one for step in dict.fromkeys(steps) for one in _drawn(step)]
    if not trajectories:
        raise InvalidRequest(
            "Nothing was generated that a tree could hold.",
            remedy="Give a gen that has finished, or a Context that one was written in.",
        )
    return merge_trajectories(trajectories)


def _drawn(step: Step[Any]) -> Iterator[Trajectory]:
    if not step.is_done:
        raise InvalidRequest(f"{step!r} is to be exported.", remedy="Await it first.")
    if step.request is not None:
        yield from trajectories_of(step.lineage, step.request, step.completions)

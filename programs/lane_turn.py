"""What a lane of a team is to write next, before anything of it is tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from weft.programs.lane import Layout
from weft.programs.prompt import Prompt

__all__ = ["LaneTurn", "TeamSetup"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamSetup:
    """A team as a program describes it; ``lane.Team`` says what its parts mean."""

    path: str
    """Identity within the Run."""
    prompt: Prompt
    layout: Layout
    num_lanes: int
    max_lanes: int
    is_raw: bool = False
    """The prompt is plain text to continue: no chat template."""
    tool_schemas: tuple[Mapping[str, object], ...] = ()
    """Tools that the chat template shows."""
    lane_tokens: int | None = None
    others_header: str = ""
    own_header: str = ""
    step_ends: tuple[str, ...] = ()
    step_head: str = ""
    question: str = ""
    question_every: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneTurn:
    """Go on where a lane is. What it is given first is the lead of the call."""

    team: TeamSetup
    index: int

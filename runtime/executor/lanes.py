"""A turn of a lane as tokens of the engine's vocabulary."""

from __future__ import annotations

from weft.programs.lane import Lane, Team
from weft.programs.lane_turn import LaneTurn, TeamSetup
from weft.programs.prompt import fill, messages_of, text_of
from weft.runtime.engine.protocol import Engine
from weft.runtime.executor.context import Encoded

__all__ = ["encode_lane", "team_id"]


def encode_lane(turn: LaneTurn, engine: Engine, run_id: str) -> Encoded:
    """What the lane sees beside its lead, whose tokens are all that the lane itself is given. The
    Steps in the team's prompt must be done and fine.

    Raises: InvalidRequest.
    """
    setup = turn.team
    filled = fill(setup.prompt)
    prompt = text_of(filled) if setup.is_raw else messages_of(filled)
    if isinstance(prompt, str):
        tokens = engine.encode(prompt)
    else:
        tokens = engine.render(prompt, setup.tool_schemas)
    lane = Lane(team=_team(setup, tokens, engine, run_id), index=turn.index)
    return Encoded(prompt, (), None, lane)


def team_id(run_id: str, path: str) -> str:
    """What the engine knows a team by."""
    return f"{run_id}/{path}"


def _team(setup: TeamSetup, prompt: tuple[int, ...], engine: Engine, run_id: str) -> Team:
    return Team(
        team_id=team_id(run_id, setup.path),
        prompt=prompt,
        layout=setup.layout,
        num_lanes=setup.num_lanes,
        max_lanes=setup.max_lanes,
        lane_tokens=setup.lane_tokens,
        others_header=engine.encode(setup.others_header),
        own_header=engine.encode(setup.own_header),
        step_ends=setup.step_ends,
        step_head=setup.step_head,
        question=setup.question,
        question_every=setup.question_every,
    )

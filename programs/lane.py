"""Lanes: streams of one model that write at the same time and read each other's keys and values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from weft.errors import InvalidRequest
from weft.programs.sampling import MAX_BRANCHES

__all__ = ["Lane", "Layout", "Team"]

Layout = Literal["contiguous", "interleaved", "combined", "blind"]
"""What a lane has before it, in this order. ``contiguous``: the prompt, the other lanes, itself.
``interleaved``: the prompt, finished steps of all lanes as they were finished, its own step.
``combined``: the prompt, the finished steps, the others' steps as far as they are, its own step.
``blind``: the prompt and itself."""

LAYOUTS = ("contiguous", "interleaved", "combined", "blind")
MAX_STEP_END = 16
"""Characters."""
MAX_GIVEN = 16_384
"""Characters of a question or a head: the engine's thread cuts them into tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """Lanes behind one prompt (Hogwild! Inference, Rodionov et al. 2025).

    Every lane keeps what it writes where it was written, and sees the others' at the place that
    the layout gives it: a lane turns its queries, and no key is ever turned again. Tokens that
    lanes write at the same moment see each other.

    Raises InvalidRequest for what cannot be.
    """

    team_id: str
    """Unique per engine while the team is there, from its first Request on; cancelling it ends
    the team. One tenant's."""
    prompt: tuple[int, ...]
    layout: Layout
    num_lanes: int
    """Lanes 0 … ``num_lanes`` - 1 begin at the same moment, once each had a Request. The team ranks
    as the first Request does."""
    max_lanes: int
    """With those that join later."""
    lane_tokens: int | None = None
    """Room of each lane, for all that it is given and writes; reserved when the team starts.
    None: an equal share of what fits."""
    others_header: tuple[int, ...] = ()
    """Stands before the others' steps."""
    own_header: tuple[int, ...] = ()
    """Stands before a lane's own step."""
    step_ends: tuple[str, ...] = ()
    """A lane's step ends when what it has written of it ends with one of these."""
    step_head: str = ""
    """What the next step is given to begin with; may name ``{lane}`` and ``{step}``, from 1."""
    question: str = ""
    """What a lane is given to answer, now and then: whether its work is needed."""
    question_every: int = 0
    """Tokens of a lane after which it is asked, where its step ends, if steps do."""

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise InvalidRequest(
                f"layout is {self.layout!r}.", remedy=f"It must be one of {', '.join(LAYOUTS)}."
            )
        if not self.prompt:
            raise InvalidRequest("A team's prompt is empty.", remedy="Give at least one token.")
        if not 1 <= self.num_lanes <= self.max_lanes <= MAX_BRANCHES:
            raise InvalidRequest(
                f"A team of {self.num_lanes!r} lanes, {self.max_lanes!r} at most.",
                remedy=f"Give at least one, and no more than {MAX_BRANCHES} at most.",
            )
        if self.lane_tokens is not None and self.lane_tokens < 2:
            raise InvalidRequest(
                f"lane_tokens is {self.lane_tokens!r}.",
                remedy="A lane has at least 2: one it is given, and one that it writes.",
            )
        if any(not 1 <= len(end) <= MAX_STEP_END for end in self.step_ends):
            raise InvalidRequest(
                f"step_ends are {self.step_ends!r}.",
                remedy=f"Each has between 1 and {MAX_STEP_END} characters.",
            )
        if (self.question_every > 0) != bool(self.question) or self.question_every < 0:
            raise InvalidRequest(
                f"question_every is {self.question_every!r} and the question {self.question!r}.",
                remedy="Give both, or neither.",
            )
        if max(len(self.question), len(self.head_of(1, 1))) > MAX_GIVEN:
            raise InvalidRequest(
                f"The question has {len(self.question)} characters, the head of a step "
                f"{len(self.head_of(1, 1))}.",
                remedy=f"Each may have {MAX_GIVEN}.",
            )

    @property
    def has_steps(self) -> bool:
        """Finished steps move to where all lanes see them."""
        return self.layout in ("interleaved", "combined")

    @property
    def sees_others(self) -> bool:
        """A lane sees what others have not finished."""
        return self.layout in ("contiguous", "combined")

    @property
    def has_insertions(self) -> bool:
        """Lanes are given text while they write."""
        return bool(self.step_head or self.question)

    @property
    def shared(self) -> tuple[int, ...]:
        """The prompt and the headers, as they are computed: one after the other."""
        return (*self.prompt, *self.others_header, *self.own_header)

    def head_of(self, lane: int, step: int) -> str:
        """What a step is given to begin with; both count from 1."""
        try:
            return self.step_head.format(lane=lane, step=step)
        except (LookupError, ValueError, AttributeError, TypeError) as error:
            raise InvalidRequest(
                f"step_head is {self.step_head!r}: {error!r}.",
                remedy="It may name {lane} and {step} only; write braces twice.",
            ) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A place in a team. A Request with one goes on with what the lane has written before."""

    team: Team
    index: int

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.team.max_lanes:
            raise InvalidRequest(
                f"Lane {self.index!r} of a team of at most {self.team.max_lanes}.",
                remedy="Give the team more max_lanes.",
            )

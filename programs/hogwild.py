"""A team of lanes: several streams of one model that solve a problem together."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from weft.errors import InvalidRequest, WeftError
from weft.programs.generate import GenOptions, order_gen
from weft.programs.handle import Step, use, when_done
from weft.programs.lane import LAYOUTS, Layout
from weft.programs.lane_turn import LaneTurn, TeamSetup
from weft.programs.lead import Lead
from weft.programs.prompt import Prompt
from weft.programs.sampling import MAX_BRANCHES
from weft.programs.seeds import branch_seed
from weft.programs.strand import Strand, current_strand

__all__ = ["HogwildLane", "HogwildTeam", "hogwild"]

T = TypeVar("T")

HEAD = "Lane {lane} of {lanes}\n"
OTHERS_HEADER, OWN_HEADER = "\n\n# What the others are writing\n\n", "\n\n# What I am writing\n\n"
STEP_ENDS = tuple(f"{mark}\n\n" for mark in (".", "!", "?", ":", ")", "]", "}", "```"))


class HogwildLane:
    """One stream of a team. Awaited, it gives the text of its last turn."""

    def __init__(self, team: HogwildTeam, index: int) -> None:
        self.index = index
        self.turns: list[Step[str]] = []
        """What it has been asked to write, in order: a ``gen`` Step each."""
        self._team = team

    def go_on(self, given: Lead, **options: Unpack[GenOptions]) -> Step[str]:
        """Write on behind its last turn, which must be over, and what is ``given`` now: the result
        of a tool, say. Options are those of ``gen``; none is taken over from the team.

        Raises: InvalidRequest, and what ``gen`` raises.
        """
        return self._team.order(self, given, options)

    def leave(self) -> None:
        """Stop writing. What the lane has written stays to be seen by the others."""
        for turn in self.turns:
            turn.cancel()

    def __await__(self) -> Generator[Any, None, str]:
        return self._team.wait(self).__await__()


class HogwildTeam:
    """Lanes that write at the same time, and see what each other writes as it is written.

    Use it with ``async with``: all lanes begin at the same moment. On leaving, lanes that still
    write are stopped, and the engine forgets what they wrote.
    """

    def __init__(
        self,
        heads: Sequence[str],
        options: GenOptions,
        setup: TeamSetup,
        final: str,
    ) -> None:
        self.lanes: tuple[HogwildLane, ...] = tuple(
            HogwildLane(self, index) for index in range(len(heads))
        )
        self._heads = heads
        self._options = options
        self._draft = setup
        """The team before it has a path."""
        self._final = final
        self._strand: Strand | None = None
        self._setup: TeamSetup | None = None
        self._fault: BaseException | None = None

    async def __aenter__(self) -> Self:
        if self._strand is not None:
            raise InvalidRequest("A team is entered twice.", remedy="Call hogwild() for each.")
        self._strand = current_strand("hogwild()")
        self._setup = replace(self._draft, path=self._strand.child_path("hogwild"))
        try:
            for lane, head in zip(self.lanes, self._heads, strict=True):
                turn = self.order(lane, head, self._options_of(lane))
                when_done(turn, partial(self._note_end, turn))
        except WeftError:
            await self._end_all()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._strand is not None and self._setup is not None, "left before it was entered"
        await self._end_all()
        await self._strand.runner.disband(self._setup.path)

    async def texts(self) -> list[str]:
        """What every lane has written once all are at the end of their turns, turn after turn."""
        for lane in self.lanes:
            await lane
        return ["".join([turn.result() for turn in lane.turns]) for lane in self.lanes]

    def join(self, head: Lead | None = None, **options: Unpack[GenOptions]) -> HogwildLane:
        """Another lane, from now on: it sees what is there. Options are the team's unless given.

        Raises: InvalidRequest when there are ``max_lanes`` already.
        """
        lane = HogwildLane(self, len(self.lanes))
        if head is None:
            head = _head(HEAD, lane.index, lane.index + 1)
        self.order(lane, head, {**self._options_of(lane), **options})
        self.lanes = (*self.lanes, lane)
        return lane

    async def answer(self, *, lane: int = 0, max_tokens: int = 16) -> str:
        """Wait for all, then have a lane write the answer behind ``final``, greedily.

        Raises: InvalidRequest when the team has no ``final``.
        """
        if not self._final:
            raise InvalidRequest(
                "A team is asked for its answer, and has nothing to begin it with.",
                remedy='Say how it begins: hogwild(…, final="So the answer is ").',
            )
        await self.texts()
        return await self.lanes[lane].go_on(self._final, max_tokens=max_tokens, temperature=0.0)

    def order(self, lane: HogwildLane, given: Lead, options: GenOptions) -> Step[str]:
        """Submit a lane's next turn. Raises: InvalidRequest."""
        if self._setup is None:
            raise InvalidRequest("The team is not there yet.", remedy="Write: async with team: …")
        if not given:
            raise InvalidRequest(
                f"Lane {lane.index} is given nothing.", remedy="Give it a word to go on from."
            )
        if lane.turns and not lane.turns[-1].is_done:
            raise InvalidRequest(
                f"Lane {lane.index} is still writing.", remedy="Await it, or let it leave."
            )
        own = GenOptions(name=f"lane{lane.index + 1}", lead=given)
        turn = order_gen(
            LaneTurn(team=self._setup, index=lane.index), None, None, {**options, **own}
        )
        lane.turns.append(turn)
        return turn

    def _options_of(self, lane: HogwildLane) -> GenOptions:
        if "seed" not in self._options:
            return self._options
        return {**self._options, "seed": branch_seed(self._options["seed"], lane.index)}

    async def wait(self, lane: HogwildLane) -> str:
        """The text of its last turn. A lane that was stopped because another could not begin
        raises what stopped that one."""
        try:
            return await lane.turns[-1]
        except asyncio.CancelledError:
            if self._fault is None or not lane.turns[-1].is_done:
                raise
            raise self._fault from None

    def _note_end(self, turn: Step[str]) -> None:
        """The lanes begin together: one that cannot would have the others wait for ever."""
        if isinstance(turn.error, WeftError) and self._fault is None:
            self._fault = turn.error
            for lane in self.lanes:
                for other in lane.turns:
                    other.cancel()

    async def _end_all(self) -> None:
        """Stop what still writes, and wait for its end."""
        ends: list[asyncio.Future[None]] = []
        for turn in [turn for lane in self.lanes for turn in lane.turns]:
            use(turn)
            if not turn.is_done:
                end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                when_done(turn, partial(_wake, end))
                turn.cancel()
                ends.append(end)
        if ends:
            await asyncio.wait(ends)


def hogwild(
    prompt: Prompt,
    *,
    lanes: int = 2,
    layout: Layout = "contiguous",
    heads: str | Sequence[str] = HEAD,
    max_lanes: int | None = None,
    lane_tokens: int | None = None,
    others_header: str | None = None,
    own_header: str | None = None,
    step_ends: Sequence[str] | None = None,
    step_head: str = "",
    question: str = "",
    question_every: int = 0,
    final: str = "",
    **options: Unpack[GenOptions],
) -> HogwildTeam:
    """Several lanes of one model on one prompt, which read each other's keys and values
    (Hogwild! Inference, Rodionov et al. 2025):

        async with hogwild("Solve the list: …", lanes=4, layout="combined") as team:
            texts = await team.texts()

    Every lane begins with its head: one text for all, which may name ``{lane}`` (from 1) and
    ``{lanes}``, or one text each. ``layout`` says what a lane has before it; in those with steps a
    lane's step ends with one of ``step_ends``, is seen by all from then on, and the next one begins
    with ``step_head``. After ``question_every`` tokens a lane is given the ``question``; ``Team``
    in ``weft.programs.lane`` explains them all. Options are those of ``gen``, and hold for every
    lane; a ``seed`` gives each of them one of its own.

    The engine must see branches. Lanes' log-probabilities cannot be computed again.

    Raises: InvalidRequest, and when entered UnsupportedFeature, StepOutsideRun.
    """
    _check(layout, options)
    has_headers, has_steps = layout == "combined", layout in ("combined", "interleaved")
    setup = TeamSetup(
        path="",
        prompt=prompt,
        layout=layout,
        num_lanes=lanes,
        max_lanes=lanes if max_lanes is None else max_lanes,
        is_raw=options.get("is_raw", False),
        tool_schemas=tuple(options.get("tool_schemas", ())),
        lane_tokens=lane_tokens,
        others_header=_or(others_header, OTHERS_HEADER if has_headers else ""),
        own_header=_or(own_header, OWN_HEADER if has_headers else ""),
        step_ends=tuple(_or(step_ends, STEP_ENDS if has_steps else ())),
        step_head=step_head,
        question=question,
        question_every=question_every,
    )
    return HogwildTeam(_heads(heads, lanes), options, setup, final)


def _check(layout: str, options: GenOptions) -> None:
    """Raises: InvalidRequest."""
    if layout not in LAYOUTS:
        raise InvalidRequest(
            f"layout is {layout!r}.", remedy=f"It must be one of {', '.join(LAYOUTS)}."
        )
    for name in ("lead", "retries", "name"):
        if name in options:
            raise InvalidRequest(
                f"A team is given {name!r}.",
                remedy="Its lanes begin with heads, have names of their own, and are not repeated.",
            )


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _or(given: T | None, usual: T) -> T:
    return usual if given is None else given


def _heads(heads: str | Sequence[str], lanes: int) -> list[str]:
    """One for every lane. Raises: InvalidRequest."""
    if not 1 <= lanes <= MAX_BRANCHES:
        raise InvalidRequest(
            f"lanes is {lanes!r}.", remedy=f"It must be between 1 and {MAX_BRANCHES}."
        )
    if isinstance(heads, str):
        return [_head(heads, index, lanes) for index in range(lanes)]
    if len(heads) != lanes:
        raise InvalidRequest(f"{len(heads)} heads for {lanes} lanes.", remedy="Give one each.")
    return list(heads)


def _head(head: str, index: int, lanes: int) -> str:
    try:
        return head.format(lane=index + 1, lanes=lanes)
    except (LookupError, ValueError, AttributeError, TypeError) as error:
        raise InvalidRequest(
            f"heads are {head!r}: {error!r}.",
            remedy="They may name {lane} and {lanes} only; write braces twice.",
        ) from None

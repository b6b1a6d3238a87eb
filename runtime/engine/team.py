"""A team in service: where its lanes' keys and values lie, and what each lane sees of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Sequence as Seq
from typing import NamedTuple

from weft.cache import BlockTable
from weft.errors import InvalidRequest
from weft.programs.lane import Team as TeamSpec
from weft.runtime.engine.advance import advance
from weft.runtime.engine.sequence import Glimpse, Sequence

__all__ = ["Team"]

MAX_BYTES = 4
"""Of a character in UTF-8."""


class _Step(NamedTuple):
    """What a lane has of its present step in a Tick."""

    lane: int
    member: Sequence
    first: int
    end: int


class Team:
    """Lanes that see each other. Owned by the engine's thread.

    A lane's tokens stay in one table for as long as the team is there, whichever Requests write
    them, at the positions 0, 1, … of that table. Finished steps, too, are seen where they lie. So
    nothing is moved or turned, and its keys cannot be computed again: what a lane saw is gone.
    """

    def __init__(
        self,
        spec: TeamSpec,
        helper: Sequence,
        num_tokens: int,
        *,
        encode: Callable[[str], Seq[int]],
        decode: Callable[[Seq[int]], str],
    ) -> None:
        """``helper`` computes the prompt and the headers; ``num_tokens`` is the room of a lane."""
        self.spec = spec
        self.helper = helper
        self.num_tokens = num_tokens
        self.tables: list[BlockTable] = []
        """One per lane; none before the team starts."""
        self.writing: list[Sequence] = []
        """Lanes that have a Request, by index; before the start they wait."""
        self.has_waited = False
        """It did not fit into the last Tick beside other teams."""
        self._members: dict[int, Sequence] = {}
        """Of every lane the Request that wrote last."""
        self._has_come: set[int] = set()
        self._finished: list[Glimpse] = []
        """The prompt, then finished steps as they were finished: what all see alike."""
        self._num_finished = 0
        """Tokens of these."""
        self._starts = [0] * spec.max_lanes
        """Of every lane, where its present step begins."""
        self._ends: list[list[int]] = [[] for _ in range(spec.max_lanes)]
        """Of every lane, ends of steps that others do not see as finished yet."""
        self._marks = [0] * spec.max_lanes
        """Of every lane, where it began to write its present step."""
        self._num_steps = [0] * spec.max_lanes
        self._num_asked = [0] * spec.max_lanes
        """Of every lane, its tokens when it was last asked."""
        self._num_end = MAX_BYTES * max(map(len, spec.step_ends), default=0)
        """Tokens that hold the end of a step: each is a byte at least."""
        self._finish(helper, 0, len(spec.prompt))
        self._encode = encode
        self._decode = decode

    @property
    def is_started(self) -> bool:
        return bool(self.tables)

    @property
    def is_complete(self) -> bool:
        """The lanes that begin together have come. Until then the team holds nothing, and
        computes nothing."""
        return self._has_come.issuperset(range(self.spec.num_lanes))

    @property
    def can_start(self) -> bool:
        """Its prompt is computed, for which it has to be complete."""
        return not self.is_started and self.helper.is_computed

    def take(self, sequence: Sequence) -> None:
        """Let a Request write on where its lane ends. Raises InvalidRequest."""
        index = _index(sequence)
        if sequence.job.request.lane is None or sequence.job.request.lane.team != self.spec:
            raise InvalidRequest(
                f"The team {self.spec.team_id!r} is there, and is another one.",
                remedy="Give every team an id of its own, and all its Requests the same Team.",
            )
        if sequence.namespace != self.helper.namespace:
            raise InvalidRequest(
                f"The team {self.spec.team_id!r} is another tenant's.",
                remedy="Give every team an id of its own.",
            )
        before = self._members.get(index)
        if before is not None and not before.is_done:
            raise InvalidRequest(
                f"Lane {index} of the team {self.spec.team_id!r} is still writing.",
                remedy="Await what it writes, or cancel it.",
            )
        if before is not None:
            sequence.go_on_from(before)
        self._check_room(sequence)
        self._finished = [
            one._replace(holder=sequence) if one.holder is before else one for one in self._finished
        ]
        self._marks[index] = len(sequence.tokens)
        self._has_come.add(index)
        self._members[index] = sequence
        if self.is_started:
            sequence.table = self.tables[index]
        self.writing.append(sequence)
        self.writing.sort(key=_index)

    def start(self, tables: list[BlockTable]) -> None:
        """Begin, with one table of ``num_tokens`` for every lane there may be."""
        self.tables = tables
        self.helper.is_pinned = True
        for sequence in self.writing:
            sequence.table = tables[_index(sequence)]

    def park(self, sequence: Sequence) -> None:
        """A lane's Request is over. What it has computed stays to be seen, and is a step."""
        self.writing.remove(sequence)
        if self.spec.has_steps:
            self._ends[_index(sequence)] = [sequence.num_computed]

    def look(self, num_tokens: Mapping[int, int]) -> None:
        """Set what every lane sees in the coming Tick, in which the lanes compute so many tokens
        by index."""
        self._close_steps()
        steps = [
            _Step(
                index, member, self._starts[index], member.num_computed + num_tokens.get(index, 0)
            )
            for index, member in sorted(self._members.items())
        ]
        for sequence in self.writing:
            self._look(sequence, steps)

    def read(self, sequence: Sequence) -> None:
        """A lane has written a token: it may end a step, and be followed by what the lane is given
        to go on with."""
        if sequence.is_done:
            return
        index = _index(sequence)
        is_end = self._ends_step(sequence)
        if is_end:
            self._num_steps[index] += 1
            if self.spec.has_steps:
                self._ends[index].append(len(sequence.tokens))
            self._give(sequence, self.spec.head_of(index + 1, self._num_steps[index] + 1))
            self._marks[index] = len(sequence.tokens)
        if self.spec.question_every and (is_end or not self.spec.step_ends):
            if len(sequence.tokens) - self._num_asked[index] >= self.spec.question_every:
                self._give(sequence, self.spec.question)
                self._num_asked[index] = len(sequence.tokens)

    def _check_room(self, sequence: Sequence) -> None:
        room = self.num_tokens - len(sequence.tokens)
        wanted = sequence.job.request.sampling.max_tokens
        if room < max(1, wanted or 1):
            raise InvalidRequest(
                f"{len(sequence.tokens)} tokens of a lane and max_tokens {wanted!r} are more than "
                f"the {self.num_tokens} that a lane of its team may have.",
                remedy=f"Ask for at most {max(0, room)} tokens, or give the team more lane_tokens.",
            )
        sequence.job.max_tokens = wanted or room

    def _close_steps(self) -> None:
        """Steps that have ended, and are computed, are for all to see; those that ended together
        in the order of their lanes."""
        for index, ends in enumerate(self._ends):
            while ends and ends[0] <= self._members[index].num_computed:
                end = ends.pop(0)
                self._finish(self._members[index], self._starts[index], end)
                self._starts[index] = end

    def _finish(self, holder: Sequence, first: int, end: int) -> None:
        """Let all see places of a table behind what they see already."""
        if end == first:
            return
        seen, shift = self._finished, first - self._num_finished
        self._num_finished += end - first
        if seen and (seen[-1].holder, seen[-1].end) == (holder, first):
            first = seen.pop().first
        seen.append(Glimpse(holder, first, end, shift))

    def _look(self, sequence: Sequence, steps: Seq[_Step]) -> None:
        """From an order of what is seen to how far a query is turned for each: the finished steps,
        the header of what others write, that itself, and the header of the lane's own.

        In the view, a query at place p of its table stands p - ``start`` behind the end of what
        comes before its step: that end less ``start`` is its lift. A key at place j of something
        that begins there at ``at`` stands at ``at`` + j - ``first``, but was turned to j.
        """
        own, helper = _index(sequence), self.helper
        num_prompt = len(self.spec.prompt)
        num_others = num_prompt + len(self.spec.others_header)
        unfinished = [(helper, num_prompt, num_others)]
        if self.spec.sees_others:
            unfinished += [step[1:] for step in steps if step.lane != own]
        unfinished.append((helper, num_others, len(helper.tokens)))
        glimpses, at = list(self._finished), self._num_finished
        for holder, first, end in unfinished:
            if end > first:
                glimpses.append(Glimpse(holder, first, end, first - at))
                at += end - first
        sequence.glimpses = tuple(glimpses)
        sequence.first_seen = self._starts[own]
        sequence.lift = at - self._starts[own]

    def _ends_step(self, sequence: Sequence) -> bool:
        if not self.spec.step_ends:
            return False
        first = max(len(sequence.tokens) - self._num_end, self._marks[_index(sequence)])
        return self._decode(sequence.tokens[first:]).endswith(self.spec.step_ends)

    def _give(self, sequence: Sequence, text: str) -> None:
        for token_id in self._encode(text) if text else ():
            if not sequence.is_done:
                advance(sequence, token_id)


def _index(sequence: Sequence) -> int:
    assert sequence.lane is not None, "only lanes are in a team"
    return sequence.lane.index

"""Which sequences compute how many tokens in the next Tick."""

from __future__ import annotations

from bisect import insort
from typing import NamedTuple

from weft.cache import BlockCopy, Namespace
from weft.runtime.engine.config import EngineConfig
from weft.runtime.engine.memory import SequenceMemory
from weft.runtime.engine.sequence import Sequence
from weft.runtime.engine.speculation import Draft
from weft.runtime.engine.team import Team

__all__ = ["Part", "Plan", "Planner"]

MAX_PASSED_OVER = 256
"""Waiting sequences that one Tick looks at for one that can start."""

Beginning = tuple[Namespace, tuple[int, ...]]
"""Within what a sequence shares, and its first block of tokens."""


class Part(NamedTuple):
    """The next ``num_tokens`` pending tokens of a sequence: one to decode, more to prefill."""

    sequence: Sequence
    num_tokens: int
    draft: Draft | None = None
    """Guesses at what follows its last token, computed with it."""

    @property
    def num_guesses(self) -> int:
        return 0 if self.draft is None else len(self.draft)

    @property
    def is_last(self) -> bool:
        """Nothing stays pending: the sequence's next token can be drawn."""
        return self.num_tokens == self.sequence.num_pending


class Plan:
    """One Tick's work, with its KV room reserved. Filled by the Planner, then only read."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.copies: list[BlockCopy] = []
        """Blocks to copy before anything is written."""
        self.num_tokens = 0
        self.num_guesses = 0
        self.is_decoding = True
        """Every sequence goes on with what it generates; no prompt is computed."""
        self.has_glimpses = False
        """A sequence sees more than its own table."""

    @property
    def is_plain(self) -> bool:
        """Every sequence computes one token, and draws the next one."""
        return self.is_decoding and self.num_tokens == len(self.parts)

    def add(self, part: Part, copies: list[BlockCopy]) -> None:
        self.parts.append(part)
        self.copies += copies
        self.num_tokens += part.num_tokens
        self.is_decoding &= part.sequence.num_generated > 0 and part.is_last
        self.has_glimpses |= bool(part.sequence.glimpses)

    def go_on(self, sequence: Sequence) -> None:
        """Add the one pending token of a sequence that generates, and has room for it."""
        self.parts.append(Part(sequence, 1))
        self.num_tokens += 1
        self.has_glimpses |= bool(sequence.glimpses)

    def guess(self, at: int, draft: Draft) -> None:
        """Let part ``at`` carry a draft, for which there must be room."""
        self.parts[at] = self.parts[at]._replace(draft=draft)
        self.num_tokens += len(draft)
        self.num_guesses += len(draft)


class Planner:
    """Continuous batching in order of rank: decodes first, then prompts in chunks, then new ones.

    When blocks run out the sequence that ranks last is preempted: it gives its blocks back, waits
    at its old rank, and recomputes what the prefix index no longer holds. The first sequence can
    therefore always go on. Owned by the engine's thread.
    """

    def __init__(self, config: EngineConfig, memory: SequenceMemory) -> None:
        self._config = config
        self._memory = memory
        self.running: list[Sequence] = []
        self.waiting: list[Sequence] = []
        self.teams: dict[str, Team] = {}
        """Their lanes are neither running nor waiting."""
        self.num_preemptions = 0

    @property
    def has_work(self) -> bool:
        return bool(self.running or self.waiting)

    @property
    def num_lanes(self) -> int:
        """Lanes that write; asked from other threads too."""
        return sum(len(team.writing) for team in list(self.teams.values()) if team.is_started)

    @property
    def num_places(self) -> int:
        """Sequences that may still start to run."""
        num_taken = sum(not sequence.is_silent for sequence in self.running)
        num_lanes = sum(team.spec.max_lanes for team in self.teams.values() if team.is_started)
        return self._config.max_running - num_taken - num_lanes

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence that holds no blocks."""
        insort(self.waiting, sequence, key=_rank)

    def start(self, sequence: Sequence) -> None:
        """Run a sequence that already holds its blocks (a fork)."""
        insort(self.running, sequence, key=_rank)

    def remove(self, sequence: Sequence) -> None:
        """Forget a sequence and take its blocks back; a lane's stay with its team."""
        if sequence.lane is not None:
            self.teams[sequence.lane.team.team_id].park(sequence)
            return
        (self.running if sequence.table is not None else self.waiting).remove(sequence)
        self._memory.release(sequence)

    def plan(self) -> Plan:
        """Choose the Tick's parts and reserve their blocks; preempts and admits as it goes."""
        plan = Plan()
        if self.teams:
            self._move_teams(plan)
        decodes = [s for s in self.running if len(s.tokens) - s.num_computed == 1]
        is_all = len(decodes) == len(self.running)
        for sequence in decodes:
            if plan.num_tokens >= self._config.max_batch_tokens:
                break  # lanes were given long texts
            # Most decodes have room left in their last block, and need nothing but their place.
            if sequence.num_computed < sequence.num_writable and sequence.num_generated > 0:
                plan.go_on(sequence)
            else:
                self._extend(plan, sequence)
        if not is_all:
            for sequence in [s for s in self.running if s.num_pending > 1]:
                self._extend(plan, sequence)
        self._admit(plan)
        if self.teams and not plan.parts:
            # Neither a prompt that was there already nor a team that lost its lanes computes
            # anything, yet both change what can start.
            self._move_teams(plan)
            self._admit(plan)
        return plan

    def disband(self, team: Team) -> None:
        """Forget a team none of whose lanes writes any more, and take its blocks back."""
        del self.teams[team.spec.team_id]
        self._memory.free_tables(team.tables)
        if team.is_complete:
            self.remove(team.helper)

    def _move_teams(self, plan: Plan) -> None:
        """Start the teams that can, and let them write on. What waits for room that only the end
        of a team can give holds none itself."""
        for team in sorted(self.teams.values(), key=_team_rank):
            if team.can_start and self._fits(team.helper):
                self._try_start_team(team)
        for sequence in [one for one in self.running if one.is_silent and not one.is_pinned]:
            is_seen = any(one.table is not None for one in sequence.job.sequences)
            if not is_seen and not self._fits(sequence):
                self._preempt(sequence)
        writing = [team for team in self.teams.values() if team.is_started and team.writing]
        for team in sorted(writing, key=_team_turn):
            self._move(plan, team)

    def _move(self, plan: Plan, team: Team) -> None:
        """A team moves as one, every lane by what is pending, or waits and is the first the next
        time: so what its lanes see of each other does not depend on who else is served."""
        most = self._config.max_batch_tokens
        share = most // len(team.writing)
        parts = [Part(each, min(each.num_pending, share)) for each in team.writing]
        team.has_waited = plan.num_tokens + sum(part.num_tokens for part in parts) > most
        if not team.has_waited:
            team.look({_lane(part): part.num_tokens for part in parts})
            for part in parts:
                plan.add(part, [])

    def _try_start_team(self, team: Team) -> None:
        """Reserve all that a team may need; those that rank after it make room."""
        spec = team.spec
        while self.num_places >= spec.max_lanes:
            num_growing = sum(not sequence.is_silent for sequence in self.running)
            tables = self._memory.try_lay_tables(spec.max_lanes, team.num_tokens, num_growing)
            if tables is not None:
                team.start(tables)
                return
            victim = self._last_running()
            if victim is None or victim.rank <= team.helper.rank:
                return
            self._preempt(victim)

    def _fits(self, sequence: Sequence) -> bool:
        """It has room with all that it sees, beside what started teams keep until they end. What
        has none holds up nobody."""
        started = [team for team in self.teams.values() if team.is_started]
        if not started:
            return True
        team = self._team_of(sequence)
        num_lanes = sum(one.spec.max_lanes for one in started)
        if num_lanes + (1 if team is None else team.spec.max_lanes) > self._config.max_running:
            return False
        num_kept = sum(self._num_blocks_of(one) for one in started)
        wanted = self._num_blocks_seen(sequence) if team is None else self._num_blocks_of(team)
        return num_kept + wanted <= self._memory.num_blocks

    def _team_of(self, sequence: Sequence) -> Team | None:
        """The team whose prompt it computes."""
        lane = sequence.job.request.lane
        return None if lane is None else self.teams[lane.team.team_id]

    def _num_blocks_of(self, team: Team) -> int:
        num_each = self._memory.num_blocks_for(team.num_tokens)
        num_shared = self._memory.num_blocks_for(len(team.spec.shared))
        return num_shared + team.spec.max_lanes * num_each

    def _num_blocks_seen(self, sequence: Sequence) -> int:
        """Of a stream with what is behind it, or of what is behind one."""
        request = sequence.job.request
        num_tokens = len(request.prompt) + sequence.num_generated
        if request.past is not None:
            num_tokens += request.past.num_tokens
            num_tokens += self._config.block_size * (1 + len(request.past.segments))
        return self._memory.num_blocks_for(num_tokens)

    def _last_running(self) -> Sequence | None:
        """The running sequence that is the first to make room."""
        return next((one for one in reversed(self.running) if not one.is_pinned), None)

    def _extend(self, plan: Plan, sequence: Sequence) -> None:
        """Add a part for ``sequence``, unless it was preempted or cannot get room."""
        budget = self._config.max_batch_tokens - plan.num_tokens
        num_tokens = min(sequence.num_pending, budget)
        if sequence.table is None or num_tokens == 0:
            return
        while (copies := self._memory.try_reserve(sequence, num_tokens)) is None:
            if not self._preempt_below(plan, sequence):
                return
        plan.add(Part(sequence, num_tokens), copies)

    def _preempt_below(self, plan: Plan, sequence: Sequence) -> bool:
        """Stop the last running sequence that has no part yet; false when it is this one."""
        in_use = {id(part.sequence) for part in plan.parts}
        in_use |= {id(seen.holder) for part in plan.parts for seen in part.sequence.glimpses}
        victim = next(s for s in reversed(self.running) if id(s) not in in_use and not s.is_pinned)
        self._preempt(victim)
        return victim is not sequence

    def _preempt(self, victim: Sequence) -> None:
        """Take its blocks back; it waits at its old rank. What sees it ranks after it, and was
        stopped before."""
        self.running.remove(victim)
        self._memory.release(victim)
        self.add(victim)
        self.num_preemptions += 1

    def _admit(self, plan: Plan) -> None:
        """Start waiting sequences in order, while places, tokens and blocks last. Passed over are
        those that would only compute what is being computed: what they see, or how they begin; and
        those that only the end of a team could make room for."""
        if not self.waiting:
            return
        warming = self._warming()
        waits_before = min(
            (team.helper.rank for team in self.teams.values() if team.can_start), default=None
        )
        at = 0
        while at < min(len(self.waiting), MAX_PASSED_OVER) and self.num_places > 0:
            head = self.waiting[at]
            if plan.num_tokens >= self._config.max_batch_tokens:
                return
            if waits_before is not None and waits_before < head.rank:
                return  # a team wants this room
            if not head.is_ready or self._is_warming(head, warming):
                at += 1
            elif head.is_silent and not self._fits(head):
                at += 1
            elif self._try_start(plan, head):
                if head.num_generated == 0 and head.num_pending > 0:
                    warming.setdefault(self._beginning(head), []).append(head)
            elif self._fits(head):
                return
            else:
                at += 1

    def _try_start(self, plan: Plan, head: Sequence) -> bool:
        """Give a waiting sequence its blocks and its part. Where nothing else could go on, those
        that rank after it make room."""
        num_growing = sum(not sequence.is_silent for sequence in self.running)
        while not self._memory.try_admit(head, num_reserved=num_growing):
            last = self._last_running()
            if plan.parts or last is None or last.rank < head.rank:
                return False
            self._preempt(last)
        self.waiting.remove(head)
        self.start(head)
        self._extend(plan, head)
        return True

    def _warming(self) -> dict[Beginning, list[Sequence]]:
        """Running sequences whose prompt is not computed yet, by how they begin."""
        found: dict[Beginning, list[Sequence]] = {}
        if self._config.has_prefix_cache:
            for sequence in self.running:
                if sequence.num_generated == 0 and sequence.num_pending > 0:
                    found.setdefault(self._beginning(sequence), []).append(sequence)
        return found

    def _beginning(self, sequence: Sequence) -> Beginning:
        return sequence.namespace, tuple(sequence.tokens[: self._config.block_size])

    def _is_warming(self, head: Sequence, warming: dict[Beginning, list[Sequence]]) -> bool:
        """A running sequence will have computed more of ``head``'s beginning than is cached."""
        if not warming or head.num_shareable < self._config.block_size:
            return False
        others = warming.get(self._beginning(head), ())
        return any(self._memory.will_share(head, other) for other in others)


def _lane(part: Part) -> int:
    assert part.sequence.lane is not None, "only lanes move as a team"
    return part.sequence.lane.index


def _team_rank(team: Team) -> tuple[int, int, int]:
    return team.helper.rank


def _team_turn(team: Team) -> tuple[bool, tuple[int, int, int]]:
    return not team.has_waited, team.helper.rank


def _rank(sequence: Sequence) -> tuple[int, int, int]:
    return sequence.rank

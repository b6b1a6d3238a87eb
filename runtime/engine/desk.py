"""Open Requests: taken in, cancelled, answered."""

from __future__ import annotations

import math
from collections.abc import Callable
from collections.abc import Sequence as Seq

from weft.errors import EngineOverloaded, InvalidRequest, WeftError
from weft.programs.lane import Lane
from weft.programs.request import Delta
from weft.runtime.engine.advance import finish, take_delta
from weft.runtime.engine.config import EngineConfig
from weft.runtime.engine.planner import Planner
from weft.runtime.engine.sequence import Job, Sequence
from weft.runtime.engine.stream import Delivery, deliver
from weft.runtime.engine.team import Team

__all__ = ["Desk"]


class Desk:
    """Knows every open Job and gathers what is to be sent. Owned by the engine's thread."""

    def __init__(
        self,
        planner: Planner,
        config: EngineConfig,
        *,
        encode: Callable[[str], Seq[int]],
        decode: Callable[[Seq[int]], str],
        clock: Callable[[], float],
    ) -> None:
        self._planner = planner
        self._max_waiting = config.max_waiting
        self._interval_s = config.stream_interval_s
        self._clock = clock
        self._encode = encode
        self._decode = decode
        self._jobs: dict[str, Job] = {}
        self._deltas: dict[Job, list[Delta]] = {}
        self._errors: dict[Job, WeftError] = {}
        self._held: dict[Sequence, None] = {}
        """They have tokens to send, and wait until all such are sent together."""
        self._sent_s = -math.inf
        """When that was the last time."""
        self._num_arrivals = 0

    def open(self, job: Job) -> None:
        """Queue a Job's first sequence; its siblings fork from it once its prompt is computed."""
        self._num_arrivals += 1
        job.arrival = self._num_arrivals
        num_waiting = len(self._planner.waiting)
        if num_waiting >= self._max_waiting and not self._has_team(job):
            overloaded = EngineOverloaded(
                f"{num_waiting} sequences wait already.", remedy="Try again later."
            )
            self._errors[job] = overloaded
            for sequence in job.sequences:
                finish(sequence, "cancelled")
            return
        self._jobs[job.request.request_id] = job
        if job.request.lane is not None:
            self._open_lane(job, job.request.lane)
            return
        for helper in job.helpers:
            self._planner.add(helper)
        first, *job.unforked = job.sequences
        self._planner.add(first)

    def _open_lane(self, job: Job, lane: Lane) -> None:
        """Let a lane write; its team is there from the first one on, until it is cancelled."""
        teams, spec = self._planner.teams, lane.team
        [helper], job.helpers = job.helpers, []
        team = teams.get(spec.team_id)
        if team is None:
            room = job.lane_tokens
            team = Team(spec, helper, room, encode=self._encode, decode=self._decode)
        was_complete = team.is_complete
        try:
            team.take(job.sequences[0])
        except InvalidRequest as error:
            self._errors[job] = error
            finish(job.sequences[0], "cancelled")
            self._forget_if_done(job)
            return
        teams[spec.team_id] = team
        if team.is_complete and not was_complete:
            self._planner.add(team.helper)

    def _has_team(self, job: Job) -> bool:
        """It is a lane whose team is there: nothing more will wait with it."""
        lane = job.request.lane
        return lane is not None and lane.team.team_id in self._planner.teams

    def cancel(self, request_id: str, indices: Seq[int] | None) -> None:
        """End open sequences; unknown requests and indices are ignored."""
        job = self._jobs.get(request_id)
        if job is None:
            return
        for sequence in job.sequences:
            if not sequence.is_done and (indices is None or sequence.index in indices):
                self._withdraw(sequence)
                finish(sequence, "cancelled")
                self.note(sequence)

    def disband(self, team_id: str) -> None:
        """End a team with all that its lanes write; an unknown one is ignored."""
        team = self._planner.teams.get(team_id)
        if team is not None:
            for sequence in list(team.writing):
                self.cancel(sequence.job.request.request_id, None)
            self._planner.disband(team)

    def note(self, sequence: Sequence) -> None:
        """Gather the sequence's next Delta, if one is due: the first and the last at once, others
        when it is time."""
        is_between = sequence.finish_reason is None and sequence.num_sent > 0
        if is_between and self._interval_s > 0:
            self._held[sequence] = None
        else:
            self._held.pop(sequence, None)
            self._take(sequence)

    def _take(self, sequence: Sequence) -> None:
        delta = take_delta(sequence)
        if delta is not None:
            self._deltas.setdefault(sequence.job, []).append(delta)
            if delta.finish_reason is not None:
                self._forget_if_done(sequence.job)

    def fail_sequence(self, sequence: Sequence, error: WeftError) -> None:
        """End the whole Request of a sequence that cannot go on."""
        self._fail(sequence.job, error)

    def refuse(self, job: Job, error: WeftError) -> None:
        """Answer a Job that came too late to be opened."""
        deliver([Delivery(job.stream, [], error)])

    def fail_all(self, error: WeftError) -> None:
        """End every open Request, and every team."""
        for job in list(self._jobs.values()):
            self._fail(job, error)
        for team_id in list(self._planner.teams):
            self.disband(team_id)

    def deliver(self, *, is_last: bool) -> None:
        """Send what was gathered. ``is_last``: nothing more comes before the next letter."""
        if self._held and ((now := self._clock()) - self._sent_s >= self._interval_s or is_last):
            for sequence in self._held:
                self._take(sequence)
            self._held.clear()
            self._sent_s = now
        if not self._deltas and not self._errors:
            return
        deliveries = [
            Delivery(job.stream, deltas, self._errors.pop(job, None))
            for job, deltas in self._deltas.items()
        ]
        deliveries += [Delivery(job.stream, [], error) for job, error in self._errors.items()]
        self._deltas.clear()
        self._errors.clear()
        deliver(deliveries)

    def _fail(self, job: Job, error: WeftError) -> None:
        self._errors[job] = error
        for sequence in job.sequences:
            if sequence in self._held:
                del self._held[sequence]
                self._take(sequence)
            if not sequence.is_done:
                self._withdraw(sequence)
                finish(sequence, "cancelled")
        self._forget_if_done(job)

    def _forget_if_done(self, job: Job) -> None:
        request_id = job.request.request_id
        if job.is_done and self._jobs.get(request_id) is job:
            del self._jobs[request_id]
            for helper in reversed(job.helpers):
                self._planner.remove(helper)

    def _withdraw(self, sequence: Sequence) -> None:
        """Take a sequence out of the planner; a sibling leads on if it led unforked ones."""
        unforked = sequence.job.unforked
        if sequence in unforked:
            unforked.remove(sequence)
            return
        self._planner.remove(sequence)
        if unforked:
            self._planner.add(unforked.pop(0))

"""Scripted programs on simulated replicas, under a scheduler, in virtual time."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from weft.errors import InvalidRequest
from weft.runtime.scheduler.costs import Costs
from weft.runtime.scheduler.decisions import (
    Decision,
    Demote,
    Dispatch,
    Evict,
    Pause,
    Prefetch,
    Refuse,
)
from weft.runtime.scheduler.facts import (
    CallAnswered,
    CallAsked,
    CallGrew,
    ProgramArrived,
    ProgramEnded,
    ReplicaSized,
    SuccessorsKnown,
    ToolReturned,
    ToolStarted,
)
from weft.runtime.scheduler.scheduler import Scheduler
from weft.runtime.scheduler.simulator.life import Life
from weft.runtime.scheduler.simulator.replica import SimulatedReplica
from weft.runtime.scheduler.simulator.report import Report, Tally
from weft.runtime.scheduler.simulator.script import Script
from weft.runtime.scheduler.simulator.storage import Storage

__all__ = ["simulate"]


class _World:
    def __init__(
        self,
        scheduler: Scheduler,
        scripts: Iterable[Script],
        replicas: Sequence[ReplicaSized],
        costs: Costs,
        concurrency: int | None,
        begins_s: float,
    ) -> None:
        self._scheduler = scheduler
        self._storage = Storage(costs)
        self._lives = {script.program: Life(script, costs) for script in scripts}
        self._replicas = {one.replica: SimulatedReplica(costs) for one in replicas}
        self._events: list[tuple[float, int, Callable[[Life], None], Life]] = []
        self._turns: list[tuple[float, str]] = []
        """When something ends on which replica; those that were put off since are stale."""
        self._next_turn_s = dict.fromkeys(self._replicas, float("inf"))
        self._num_events = 0
        self._num_ended = 0
        self._concurrency = concurrency
        self._anew_at = concurrency if begins_s == float("inf") else None
        """After how many ends counting begins anew."""
        self._queues: dict[str, deque[Life]] = {}
        """What comes as one ends, by tenant."""
        self._is_over = False
        self._since_s = 0.0
        self._begins_s = begins_s
        """When counting begins anew, if that is a time."""
        self.now_s = 0.0
        self.tally = Tally()
        for one in replicas:
            scheduler.tell(one)
        self._open()

    def _open(self) -> None:
        """Programs arrive at their times, or so many at once and each after that as one of its
        tenant ends."""
        if self._concurrency is None:
            for life in self._lives.values():
                self._at(life.script.arrives_s, self._arrive, life)
            return
        for number, life in enumerate(self._lives.values()):
            if number < self._concurrency:
                self._at(0.0, self._arrive, life)
            else:
                self._queues.setdefault(life.script.tenant, deque()).append(life)

    def run(self, until_s: float) -> None:
        while (next_s := self._next_s()) <= until_s and next_s < float("inf"):
            if next_s >= self._begins_s:
                self.now_s, self._begins_s = self._begins_s, float("inf")
                self._begin_anew()
            self.now_s = next_s
            while self._turns and self._turns[0][0] <= next_s:
                turn_s, name = heapq.heappop(self._turns)
                if turn_s == self._next_turn_s[name]:
                    self._advance(name)
            while self._events and self._events[0][0] <= next_s:
                _, _, happen, life = heapq.heappop(self._events)
                happen(life)
            if self._is_over:
                return
            for decision in self._scheduler.decide(next_s):
                self._carry_out(decision)
        if next_s < float("inf"):
            self.now_s = until_s

    def report(self) -> Report:
        lives = self._lives.values()
        for life in lives:
            if life.is_waiting:
                self.tally.waits_s.append(self.now_s - life.asked_s)
        busy_s = sum(one.busy_s for one in self._replicas.values()) / len(self._replicas)
        outcomes = [life.outcome for life in lives]
        return Report.of(outcomes, self.tally, self._since_s, self.now_s, busy_s)

    def _begin_anew(self) -> None:
        """Forget what was counted while the programs were all young."""
        self._since_s, self.tally = self.now_s, Tally()
        for life in self._lives.values():
            life.outcome.service_s = 0.0
        for replica in self._replicas.values():
            replica.busy_s = 0.0

    def _next_s(self) -> float:
        while self._turns and self._turns[0][0] != self._next_turn_s[self._turns[0][1]]:
            heapq.heappop(self._turns)
        turn_s = self._turns[0][0] if self._turns else float("inf")
        event_s = self._events[0][0] if self._events else float("inf")
        return min(turn_s, event_s, max(self._scheduler.wake_s, self.now_s + 1e-6))

    def _at(self, at_s: float, happen: Callable[[Life], None], life: Life) -> None:
        heapq.heappush(self._events, (at_s, self._num_events, happen, life))
        self._num_events += 1

    def _arrive(self, life: Life) -> None:
        script = life.script
        life.outcome.arrived_s = self.now_s
        self._scheduler.tell(
            ProgramArrived(
                self.now_s,
                script.program,
                tenant=script.tenant,
                deadline_s=life.deadline_s,
                prefix=script.shared_prefix,
                prefix_tokens=script.prefix_tokens,
            )
        )
        self._ask(life)

    def _ask(self, life: Life) -> None:
        life.ask(self.now_s)
        if life.script.deadline_s is not None:
            self._scheduler.tell(
                SuccessorsKnown(
                    self.now_s, life.script.program, life.steps_left, life.seconds_left()
                )
            )
        self._scheduler.tell(
            CallAsked(
                self.now_s,
                life.script.program,
                life.call,
                life.context_tokens,
                life.step.new_tokens,
                life.step.output_tokens,
            )
        )

    def _advance(self, name: str) -> None:
        ended = self._replicas[name].advance(self.now_s)
        for call in ended.prompts:
            self._scheduler.tell(CallGrew(self.now_s, call, 0))
        for call in ended.calls:
            self._answer(self._lives[call.rpartition("/")[0]], name)
        self._put_off(name)

    def _put_off(self, name: str) -> None:
        next_s = self._replicas[name].next_s()
        if next_s != self._next_turn_s[name]:
            self._next_turn_s[name] = next_s
            if next_s < float("inf"):
                heapq.heappush(self._turns, (next_s, name))

    def _answer(self, life: Life, replica: str) -> None:
        step, call = life.step, life.call
        life.answer()
        self._storage.hold(life.script, replica, life.context_tokens)
        self.tally.num_steps += 1
        self._scheduler.tell(
            CallAnswered(self.now_s, call, step.output_tokens, life.context_tokens)
        )
        if not life.steps_left:
            self._end(life)
        elif step.tool:
            self._scheduler.tell(ToolStarted(self.now_s, life.script.program, step.tool, life.call))
            self._at(self.now_s + step.tool_s, self._return, life)
        else:
            self._ask(life)

    def _return(self, life: Life) -> None:
        self._scheduler.tell(ToolReturned(self.now_s, life.script.program, life.call))
        self._ask(life)

    def _end(self, life: Life) -> None:
        self._storage.forget(life.script)
        life.outcome.ended_s = self.now_s
        self._scheduler.tell(ProgramEnded(self.now_s, life.script.program))
        self._num_ended += 1
        if self._concurrency is not None:
            self._open_next(life.script.tenant)
        if self._num_ended == self._anew_at:
            self._begin_anew()

    def _open_next(self, tenant: str) -> None:
        queue = self._queues.get(tenant)
        if queue:
            self._at(self.now_s, self._arrive, queue.popleft())
        self._is_over |= not queue

    def _carry_out(self, decision: Decision) -> None:
        life = self._lives[decision.program]
        match decision:
            case Dispatch():
                self._start(life, decision.replica)
            case Evict() | Pause():
                self._storage.forget(life.script)
            case Demote():
                self._work(decision.replica, self._storage.spill(life.script))
            case Prefetch():
                self._prefetch(life, decision.replica)
            case Refuse():
                life.outcome.is_refused = True
                life.is_waiting = False
                self._end(life)

    def _start(self, life: Life, replica: str) -> None:
        self._advance(replica)
        history = life.context_tokens - life.step.new_tokens
        work = self._storage.bring(
            life.script, replica, life.context_tokens, new_tokens=life.step.new_tokens
        )
        life.is_waiting = False
        self.tally.waits_s.append(self.now_s - life.asked_s)
        self.tally.prompt_tokens += life.context_tokens
        self.tally.held_tokens += work.held_tokens
        self.tally.bring(work, history if life.reached else work.held_tokens)
        self._replicas[replica].start(
            life.call,
            prompt_s=work.seconds,
            context_tokens=life.context_tokens,
            output_tokens=life.step.output_tokens,
        )
        self._put_off(replica)

    def _prefetch(self, life: Life, replica: str) -> None:
        work = self._storage.bring(life.script, replica, life.context_tokens, new_tokens=0)
        self.tally.bring(work, life.context_tokens)
        self._work(replica, work.seconds)

    def _work(self, replica: str, seconds: float) -> None:
        self._advance(replica)
        self._replicas[replica].work(seconds)
        self._put_off(replica)


def simulate(
    scheduler: Scheduler,
    scripts: Iterable[Script],
    replicas: Sequence[ReplicaSized],
    *,
    costs: Costs | None = None,
    since_s: float | None = None,
    until_s: float = float("inf"),
    concurrency: int | None = None,
) -> Report:
    """Run programs on replicas that cost what ``costs`` says.

    They arrive at their times and run to their end, or until a time. Or so many are open at any
    time (``concurrency``, whatever their times), each followed by the next of its tenant, so that
    no tenant gives way to another: then the report is of the time between the end of that many
    programs and the arrival of any tenant's last. With ``since_s`` it is of the time from then
    on. Blocks for as long as it computes; the same arguments give the same report. Expected outputs
    are the true ones.

    Raises InvalidRequest for a concurrency below one, and for a time to report of that is empty.
    """
    if concurrency is not None and concurrency < 1:
        raise InvalidRequest(f"{concurrency!r} programs at once.", remedy="Run one at least.")
    if since_s is not None and not 0 <= since_s < until_s:
        raise InvalidRequest(
            f"A report of the time from {since_s!r} s to {until_s!r} s.",
            remedy="Begin at zero or later, and end after that.",
        )
    begins_s = float("inf") if since_s is None else since_s
    costs = costs or scheduler.policy.costs
    world = _World(scheduler, scripts, replicas, costs, concurrency, begins_s)
    world.run(until_s)
    return world.report()

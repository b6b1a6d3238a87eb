"""Scripted programs on simulated replicas, under a scheduler, in virtual time."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from weft.runtime.scheduler.costs import Costs
from weft.runtime.scheduler.decisions import (
    Decision,
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
from weft.runtime.scheduler.simulator.replica import SimulatedReplica
from weft.runtime.scheduler.simulator.report import Outcome, Report, Tally
from weft.runtime.scheduler.simulator.script import Script

__all__ = ["simulate"]


class _Held(NamedTuple):
    replica: str
    num_tokens: int


class _Life:
    """One program as far as it is."""

    __slots__ = ("asked_s", "context_tokens", "held", "outcome", "reached", "script")

    def __init__(self, script: Script) -> None:
        self.script = script
        self.reached = 0
        self.context_tokens = script.prefix_tokens
        self.asked_s = 0.0
        self.held: _Held | None = None
        self.outcome = Outcome(script=script)

    @property
    def call(self) -> str:
        return f"{self.script.program}/{self.reached}"


class _World:
    def __init__(
        self,
        scheduler: Scheduler,
        scripts: Iterable[Script],
        replicas: Sequence[ReplicaSized],
        costs: Costs,
    ) -> None:
        self._scheduler = scheduler
        self._costs = costs
        self._lives = {script.program: _Life(script) for script in scripts}
        self._replicas = {one.replica: SimulatedReplica(costs) for one in replicas}
        self._sharers: Mapping[str, dict[str, int]] = {one.replica: {} for one in replicas}
        self._events: list[tuple[float, int, Callable[[float, _Life], None], _Life]] = []
        self._num_events = 0
        self.now_s = 0.0
        self.tally = Tally()
        for one in replicas:
            scheduler.tell(one)
        for life in self._lives.values():
            self._at(life.script.arrives_s, self._arrive, life)

    def run(self, until_s: float) -> None:
        while (next_s := self._next_s()) <= until_s and next_s < float("inf"):
            self.now_s = next_s
            for name, replica in self._replicas.items():
                self._advance(name, replica)
            while self._events and self._events[0][0] <= next_s:
                _, _, happen, life = heapq.heappop(self._events)
                happen(next_s, life)
            for decision in self._scheduler.decide(next_s):
                self._carry_out(decision)

    def report(self) -> Report:
        busy_s = sum(replica.busy_s for replica in self._replicas.values())
        outcomes = tuple(life.outcome for life in self._lives.values())
        return Report.of(outcomes, self.tally, self.now_s, busy_s / len(self._replicas))

    def _next_s(self) -> float:
        serving_s = min(replica.next_s() for replica in self._replicas.values())
        event_s = self._events[0][0] if self._events else float("inf")
        soonest_s = min(serving_s, event_s)
        wake_s = self._scheduler.wake_s if self._scheduler.num_waiting else float("inf")
        return min(soonest_s, max(wake_s, self.now_s + 1e-6))

    def _at(self, at_s: float, happen: Callable[[float, _Life], None], life: _Life) -> None:
        heapq.heappush(self._events, (at_s, self._num_events, happen, life))
        self._num_events += 1

    def _arrive(self, now_s: float, life: _Life) -> None:
        script = life.script
        self._scheduler.tell(
            ProgramArrived(
                now_s,
                script.program,
                tenant=script.tenant,
                deadline_s=script.deadline_s,
                prefix=script.prefix,
                prefix_tokens=script.prefix_tokens,
            )
        )
        self._ask(now_s, life)

    def _ask(self, now_s: float, life: _Life) -> None:
        step = life.script.steps[life.reached]
        steps_left = len(life.script.steps) - life.reached
        life.asked_s = now_s
        life.context_tokens += step.new_tokens
        if life.script.deadline_s is not None:
            seconds_left = self._seconds_left(life)
            self._scheduler.tell(
                SuccessorsKnown(now_s, life.script.program, steps_left, seconds_left)
            )
        self._scheduler.tell(
            CallAsked(
                now_s,
                life.script.program,
                life.call,
                life.context_tokens,
                step.new_tokens,
                step.output_tokens,
            )
        )

    def _seconds_left(self, life: _Life) -> float:
        steps = life.script.steps[life.reached :]
        calls_s = sum(
            self._costs.call_s(
                new_tokens=step.new_tokens,
                context_tokens=life.context_tokens,
                output_tokens=step.output_tokens,
            )
            for step in steps
        )
        return calls_s + sum(step.tool_s for step in steps)

    def _advance(self, name: str, replica: SimulatedReplica) -> None:
        prefilled, ended = replica.advance(self.now_s)
        for call in prefilled:
            self._scheduler.tell(CallGrew(self.now_s, call, 0))
        for call in ended:
            self._answer(self._lives[call.rpartition("/")[0]], name)

    def _answer(self, life: _Life, replica: str) -> None:
        step = life.script.steps[life.reached]
        life.context_tokens += step.output_tokens
        life.held = _Held(replica, life.context_tokens)
        self.tally.num_steps += 1
        life.outcome.num_steps += 1
        self._scheduler.tell(
            CallAnswered(self.now_s, life.call, step.output_tokens, life.context_tokens)
        )
        life.outcome.service_tokens += step.new_tokens + step.output_tokens
        life.reached += 1
        if life.reached == len(life.script.steps):
            self._end(life)
        elif step.tool:
            self._scheduler.tell(ToolStarted(self.now_s, life.script.program, step.tool, life.call))
            self._at(self.now_s + step.tool_s, self._return, life)
        else:
            self._ask(self.now_s, life)

    def _return(self, now_s: float, life: _Life) -> None:
        self._scheduler.tell(ToolReturned(now_s, life.script.program, life.call))
        self._ask(now_s, life)

    def _end(self, life: _Life) -> None:
        self._forget(life)
        life.outcome.ended_s = self.now_s
        self._scheduler.tell(ProgramEnded(self.now_s, life.script.program))

    def _carry_out(self, decision: Decision) -> None:
        life = self._lives[decision.program]
        match decision:
            case Dispatch():
                self._start(life, decision.replica)
            case Evict() | Pause():
                self._forget(life)
            case Prefetch():
                self._prefetch(life, decision.replica)
            case Refuse():
                self._forget(life)
                life.outcome.is_refused = True
                self._scheduler.tell(ProgramEnded(self.now_s, decision.program))

    def _start(self, life: _Life, replica: str) -> None:
        step, script = life.script.steps[life.reached], life.script
        history = life.context_tokens - step.new_tokens
        if life.held is not None and life.held.replica == replica:
            held = min(life.held.num_tokens, history)
        else:
            held = script.prefix_tokens if self._sharers[replica].get(script.prefix) else 0
        self._hold(life, replica, life.context_tokens)
        life.outcome.waits_s.append(self.now_s - life.asked_s)
        self.tally.prompt_tokens += life.context_tokens
        self.tally.held_tokens += held
        if life.reached:
            self.tally.recomputed_tokens += history - held
        self._replicas[replica].start(
            life.call,
            held_tokens=held,
            context_tokens=life.context_tokens,
            output_tokens=step.output_tokens,
        )

    def _prefetch(self, life: _Life, replica: str) -> None:
        script = life.script
        held = script.prefix_tokens if self._sharers[replica].get(script.prefix) else 0
        self._hold(life, replica, life.context_tokens)
        self._replicas[replica].restore(held_tokens=held, context_tokens=life.context_tokens)
        self.tally.recomputed_tokens += life.context_tokens - held

    def _hold(self, life: _Life, replica: str, num_tokens: int) -> None:
        self._forget(life)
        life.held = _Held(replica, num_tokens)
        sharers = self._sharers[replica]
        sharers[life.script.prefix] = sharers.get(life.script.prefix, 0) + 1

    def _forget(self, life: _Life) -> None:
        if life.held is not None:
            self._sharers[life.held.replica][life.script.prefix] -= 1
            life.held = None


def simulate(
    scheduler: Scheduler,
    scripts: Iterable[Script],
    replicas: Sequence[ReplicaSized],
    *,
    costs: Costs | None = None,
    until_s: float = float("inf"),
) -> Report:
    """Run programs to their end, or until a time, on replicas that cost what ``costs`` says.

    Blocks for as long as it computes; the same arguments give the same report. Expected outputs
    are the true ones.
    """
    world = _World(scheduler, scripts, replicas, costs or scheduler.policy.costs)
    world.run(until_s)
    return world.report()

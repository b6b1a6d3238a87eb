"""Programs are paused and resumed by sweeps (ThunderAgent, as published)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from weft.runtime.scheduler.accounts import CallAccount, ProgramAccount
from weft.runtime.scheduler.costs import Costs
from weft.runtime.scheduler.decisions import Fact, Pause
from weft.runtime.scheduler.facts import CallAsked, ProgramEnded
from weft.runtime.scheduler.ledger import Ledger
from weft.runtime.scheduler.line import Place
from weft.runtime.scheduler.policy import SchedulingPolicy

__all__ = ["PausePolicy"]

SWEEP_S = 5.0
MARGIN_TOKENS = 100
"""Added to every program's context, for what it is about to generate."""
LONGEST_WAIT_S = 1800.0


class PausePolicy(SchedulingPolicy):
    """Every five seconds: resume what fits, smallest first; pause while active programs exceed the
    replicas, the smallest that act first, then marking the smallest that reason.

    A program that waits for half an hour is let in whatever fits. ``decays`` lets the claim of a
    program in a tool halve every second where resuming is decided, which the paper proposes and
    its code leaves off. All replicas count as one here; where a call goes is decided as for every
    policy. Its known faults are kept, as it is a baseline: no sharing is counted, the smallest
    are favoured without ageing, and engines may idle between sweeps.
    """

    name = "pause"
    keeps_busy = False

    def __init__(
        self,
        costs: Costs | None = None,
        *,
        decays: bool = False,
        sweep_s: float = SWEEP_S,
        longest_wait_s: float = LONGEST_WAIT_S,
    ) -> None:
        super().__init__(costs)
        self._decays = decays
        self._sweep_s = sweep_s
        self._longest_wait_s = longest_wait_s
        self._active: dict[str, None] = {}
        self._held: dict[str, float] = {}
        """Programs that are not active and ask, with since when."""
        self._marked: dict[str, None] = {}
        self._moved: list[str] = []
        self._next_sweep_s = float("-inf")

    def told(self, fact: Fact, ledger: Ledger) -> None:
        if isinstance(fact, ProgramEnded):
            for table in (self._active, self._held, self._marked):
                table.pop(fact.program, None)
        elif isinstance(fact, Pause):
            self._active.pop(fact.program, None)
            if ledger.programs[fact.program].waiting:
                self._held[fact.program] = fact.at_s
        elif isinstance(fact, CallAsked) and fact.program not in self._active:
            self._arrive(ledger.programs[fact.program], ledger, fact.at_s)

    def place(self, call: CallAccount, ledger: Ledger, now_s: float) -> Place:
        return Place(
            (
                call.program.program not in self._active,
                -call.program.priority,
                call.asked_s,
            )
        )

    def moved(self) -> Iterable[str]:
        moved, self._moved = self._moved, []
        return moved

    def admits(self, call: CallAccount, ledger: Ledger, now_s: float) -> bool:
        return call.program.program in self._active

    def sweep(self, ledger: Ledger, now_s: float) -> Sequence[ProgramAccount]:
        paused = [ledger.programs[name] for name in self._marked]
        paused = [program for program in paused if not program.running]
        for program in paused:
            del self._marked[program.program]
        if now_s >= self._next_sweep_s:
            self._next_sweep_s = now_s + self._sweep_s
            self._resume(ledger, now_s)
            paused += self._overcommitted(ledger, {one.program for one in paused})
        return paused

    def wake_s(self, ledger: Ledger, now_s: float) -> float:
        return self._next_sweep_s if ledger.programs else float("inf")

    def _arrive(self, program: ProgramAccount, ledger: Ledger, now_s: float) -> None:
        if not self._held and _claim(program) <= self._remaining(ledger, now_s):
            self._activate(program.program)
        else:
            self._held.setdefault(program.program, now_s)

    def _activate(self, name: str) -> None:
        self._active[name] = None
        self._held.pop(name, None)
        self._moved.append(name)

    def _resume(self, ledger: Ledger, now_s: float) -> None:
        remaining = self._remaining(ledger, now_s)
        for program in sorted((ledger.programs[name] for name in self._held), key=_resume_order):
            has_waited_out = now_s - self._held[program.program] > self._longest_wait_s
            if has_waited_out or _claim(program) <= remaining:
                remaining -= _claim(program)
                self._activate(program.program)

    def _overcommitted(self, ledger: Ledger, leaving: set[str]) -> list[ProgramAccount]:
        """Acting programs to pause now; marks reasoning ones to pause at their answer."""
        active = [ledger.programs[name] for name in self._active if name not in leaving]
        excess = sum(map(_claim, active)) - _capacity(ledger)
        paused: list[ProgramAccount] = []
        for program in sorted(active, key=lambda one: (_is_reasoning(one), one.context_tokens)):
            if excess <= 0 or len(paused) + len(self._marked) + 1 >= len(active):
                break
            excess -= _claim(program)
            if _is_reasoning(program):
                self._marked[program.program] = None
            else:
                paused.append(program)
        return paused

    def _remaining(self, ledger: Ledger, now_s: float) -> float:
        claims = (self._decayed(ledger.programs[name], now_s) for name in self._active)
        return _capacity(ledger) - sum(claims)

    def _decayed(self, program: ProgramAccount, now_s: float) -> float:
        if not self._decays or _is_reasoning(program):
            return _claim(program)
        halvings = min(now_s - program.idle_since_s, 64.0)
        return program.context_tokens * math.exp2(-halvings) + MARGIN_TOKENS


def _capacity(ledger: Ledger) -> int:
    return sum(replica.capacity_tokens for replica in ledger.replicas.values())


def _is_reasoning(program: ProgramAccount) -> bool:
    return bool(program.waiting or program.running)


def _claim(program: ProgramAccount) -> float:
    calls = (*program.waiting.values(), *program.running.values())
    asked = max((call.context_tokens for call in calls), default=0)
    return max(program.context_tokens, asked) + MARGIN_TOKENS


def _resume_order(program: ProgramAccount) -> tuple[int, bool, float]:
    """By priority; then programs at work before new ones, small before large."""
    return (-program.priority, program.num_answered == 0, _claim(program))

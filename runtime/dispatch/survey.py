"""How a Snapshot is taken: a look at every open program, and a closer one at some."""

from __future__ import annotations

import heapq
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from weft.runtime.dispatch.book import Book
from weft.runtime.dispatch.dispatcher import Dispatcher
from weft.runtime.dispatch.program import OpenProgram
from weft.runtime.dispatch.rate import Rate
from weft.runtime.dispatch.snapshot import (
    ProgramSnapshot,
    ReplicaSnapshot,
    Snapshot,
    ToolSnapshot,
)
from weft.runtime.engine.protocol import EngineStats
from weft.runtime.scheduler import Ledger
from weft.runtime.scheduler.accounts import Phase, ProgramAccount, ReplicaAccount, ToolRun

__all__ = ["ProgramSurvey", "Surveyor", "survey_programs"]

PHASES: Sequence[Phase] = ("generating", "waiting", "paused", "acting", "new")
ORDER = {phase: place for place, phase in enumerate(PHASES)}
MAX_TOOLS = 8
"""Tools listed of one program."""
MAX_TEXT = 200
"""Characters of a name."""


class ProgramSurvey(NamedTuple):
    listed: tuple[ProgramSnapshot, ...]
    num_left_out: int
    num_by_phase: dict[Phase, int]


class Surveyor:
    """Takes Snapshots of what a Book and a Dispatcher know, for their event loop.

    Counters are those since it was made.
    """

    def __init__(self, book: Book, dispatcher: Dispatcher, engine: str, stats: EngineStats) -> None:
        self._book = book
        self._dispatcher = dispatcher
        self._engine = engine
        self._began_s = dispatcher.now()
        self._before = stats
        self._rate = Rate(self._began_s, stats.num_generated_tokens)

    def take(self, stats: EngineStats, max_programs: int) -> Snapshot:
        """``stats`` are those of now. Takes time in proportion to what is open."""
        scheduler, before, now_s = self._dispatcher.scheduler, self._before, self._dispatcher.now()
        ledger = scheduler.ledger
        survey = survey_programs(self._book.programs(), ledger, now_s, max_programs)
        asked = [call.asked_s for call in ledger.calls.values() if call.replica is None]
        num_prompt = stats.num_prompt_tokens - before.num_prompt_tokens
        num_cached = stats.num_cached_tokens - before.num_cached_tokens
        return Snapshot(
            pid=os.getpid(),
            engine=_clipped(self._engine),
            policy=scheduler.policy.name,
            open_s=now_s - self._began_s,
            programs=survey.listed,
            num_left_out=survey.num_left_out,
            num_by_phase=survey.num_by_phase,
            replicas=tuple(map(_replica, ledger.replicas.values())),
            num_waiting=len(asked),
            oldest_wait_s=now_s - min(asked, default=now_s),
            decisions=self._dispatcher.counts,
            hit_rate=num_cached / num_prompt if num_prompt else 0.0,
            tokens_per_s=self._rate.take(now_s, stats.num_generated_tokens),
            num_generated_tokens=stats.num_generated_tokens - before.num_generated_tokens,
            num_preemptions=stats.num_preemptions - before.num_preemptions,
        )


def survey_programs(
    programs: Iterable[OpenProgram], ledger: Ledger, now_s: float, max_programs: int
) -> ProgramSurvey:
    """List as many programs as asked for, in order of phase, then of KV, then of age."""
    seen = [_seen(program, ledger.programs.get(program.start.run_id)) for program in programs]
    counts = Counter(one.phase for one in seen)
    listed = heapq.nsmallest(max_programs, seen, key=_Seen.rank)
    return ProgramSurvey(
        listed=tuple(one.snapshot(now_s) for one in listed),
        num_left_out=len(seen) - len(listed),
        num_by_phase={phase: counts[phase] for phase in PHASES},
    )


class _Seen(NamedTuple):
    program: OpenProgram
    account: ProgramAccount | None
    """None before its first call."""
    phase: Phase

    def rank(self) -> tuple[int, float, float, str]:
        held = 0.0 if self.account is None else -self.account.footprint_tokens
        program = self.program
        return ORDER[self.phase], held, program.began_s, program.start.run_id

    def since_s(self) -> float:
        """When its phase began."""
        program, account = self.program, self.account
        if account is None:
            return program.began_s
        match self.phase:
            case "generating":
                return min(call.dispatched_s for call in account.running.values())
            case "waiting":
                return max(program.left_s, min(one.asked_s for one in account.waiting.values()))
            case "paused":
                return account.paused_s
            case _:
                return program.left_s

    def snapshot(self, now_s: float) -> ProgramSnapshot:
        program, account, start = self.program, self.account, self.program.start
        until_s = None if start.deadline_s is None else program.began_s + start.deadline_s
        anchor = None if account is None else account.anchor
        return ProgramSnapshot(
            run_id=_clipped(start.run_id),
            path=_clipped(start.path),
            tenant=_clipped(start.tenant),
            phase=self.phase,
            phase_s=max(0.0, now_s - self.since_s()),
            replica=None if anchor is None else anchor.replica,
            kv_tokens=0 if account is None else round(account.footprint_tokens),
            demoted_tokens=0 if account is None else account.spilled_tokens,
            num_waiting=0 if account is None else len(account.waiting),
            num_running=0 if account is None else len(account.running),
            num_tools=len(program.tools),
            tools=_tools(program.tools.values(), now_s),
            steps_done=0 if account is None else account.num_answered,
            steps_left=None if account is None else _steps_left(account),
            deadline_left_s=None if until_s is None else until_s - now_s,
            attained_s=0.0 if account is None else account.attained_s,
        )


def _seen(program: OpenProgram, account: ProgramAccount | None) -> _Seen:
    if account is not None:
        return _Seen(program, account, account.phase)
    return _Seen(program, None, "acting" if program.tools else "new")


def _steps_left(account: ProgramAccount) -> int | None:
    """The scheduler is told with each call, that call included."""
    if account.steps_left is None or account.waiting or account.running:
        return account.steps_left
    return max(0, account.steps_left - 1)


def _tools(runs: Iterable[ToolRun], now_s: float) -> tuple[ToolSnapshot, ...]:
    started: dict[str, list[float]] = {}
    for run in runs:
        started.setdefault(run.tool, []).append(run.started_s)
    each = [
        ToolSnapshot(
            tool=_clipped(tool), num_running=len(starts_s), longest_s=now_s - min(starts_s)
        )
        for tool, starts_s in started.items()
    ]
    return tuple(heapq.nlargest(MAX_TOOLS, each, key=lambda one: one.longest_s))


def _replica(account: ReplicaAccount) -> ReplicaSnapshot:
    return ReplicaSnapshot(
        replica=account.replica,
        used_tokens=account.used_tokens,
        capacity_tokens=account.capacity_tokens,
        spilled_tokens=account.spilled_tokens,
        spill_capacity_tokens=account.spill_capacity_tokens,
        num_running=account.num_running,
        max_running=account.max_calls,
    )


def _clipped(name: str) -> str:
    """A name that any reader can be sent: file names may hold what is no Unicode text."""
    short = name if len(name) <= MAX_TEXT else name[: MAX_TEXT - 1] + "…"
    return short.encode("utf-8", "backslashreplace").decode()

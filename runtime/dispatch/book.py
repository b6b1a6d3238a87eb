"""The open programs: what their Runs and Requests come to as facts."""

from __future__ import annotations

import asyncio
from typing import Literal

from weft.programs.request import Delta, Request
from weft.runtime.dispatch.dispatcher import Dispatcher
from weft.runtime.dispatch.prefixes import Prefixes
from weft.runtime.dispatch.profiles import Left, Profiles
from weft.runtime.dispatch.program import OpenProgram
from weft.runtime.engine.programs import ProgramStart
from weft.runtime.observe.event import Event, RunEvent, StepEvent
from weft.runtime.scheduler import (
    CallAnswered,
    CallAsked,
    CallCancelled,
    CallGrew,
    ProgramArrived,
    ProgramEnded,
    SuccessorsKnown,
    ToolReturned,
    ToolStarted,
)
from weft.runtime.scheduler.accounts import ToolRun

__all__ = ["Book", "OpenCall"]

GROWTH_TOKENS = 16
"""A call that says more than was expected is told of in such steps."""

Reason = Literal["ended", "cancelled", "disconnected"]


class OpenCall:
    """A Request on its way, or what a team of lanes asks for together."""

    __slots__ = (
        "asked_s",
        "call",
        "context",
        "expected",
        "is_anonymous",
        "is_dispatched",
        "is_prefilled",
        "num_output",
        "num_told",
        "program",
        "replica",
        "said",
    )

    def __init__(
        self,
        *,
        call: str,
        program: OpenProgram,
        context: tuple[int, ...],
        expected: int,
        asked_s: float,
        replica: asyncio.Future[str],
        is_anonymous: bool,
    ) -> None:
        self.call = call
        self.program = program
        self.context = context
        self.expected = expected
        """Tokens that it will probably say."""
        self.asked_s = asked_s
        self.replica = replica
        """Where it is to run, once that is decided."""
        self.is_anonymous = is_anonymous
        """Its program is nothing but this call."""
        self.is_dispatched = False
        self.is_prefilled = False
        self.said: list[int] = []
        """By the first sequence."""
        self.num_output = 0
        """Tokens of all sequences."""
        self.num_told = 0
        """Of them, those that the scheduler knows of."""

    def of(self, run_id: str) -> bool:
        return self.program.start.run_id == run_id


class Book:
    """Keeps what must be known to tell facts from Requests and events. For one event loop."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._programs: dict[str, OpenProgram] = {}
        self._prefixes = Prefixes()
        self._profiles = Profiles()

    def program(self, run_id: str) -> OpenProgram | None:
        return self._programs.get(run_id)

    def programs(self) -> list[OpenProgram]:
        return list(self._programs.values())

    def open(self, start: ProgramStart) -> OpenProgram:
        """A Run has begun; the scheduler is told with its first call."""
        program = self._programs[start.run_id] = OpenProgram(start, self._dispatcher.now())
        return program

    def end(self, run_id: str, reason: Reason = "ended") -> None:
        """A Run is over with all that it held."""
        program = self._programs.pop(run_id, None)
        if program is None:
            return
        now_s = self._dispatcher.now()
        if reason == "ended" and program.work_s:
            work_s = (*program.work_s, program.worked_s(now_s))
            self._profiles.ended(program.start.path, work_s)
        if program.has_arrived:
            self._dispatcher.tell(ProgramEnded(now_s, run_id, reason))

    def heard(self, event: Event) -> None:
        """An event of a Run that was opened."""
        match event:
            case RunEvent(phase="started"):
                pass
            case RunEvent():
                self.end(event.run_id, "cancelled" if event.phase == "cancelled" else "ended")
            case StepEvent():
                self._heard_step(event)
            case _:
                pass

    def ask(self, request: Request) -> OpenCall:
        """Ask the scheduler for what a Request needs; its program is told of first, if it is
        new."""
        program = self._programs.get(request.run_id)
        is_anonymous = program is None
        if program is None:
            start = ProgramStart(
                run_id=request.request_id,
                path="",
                tenant=request.tenant,
                priority=request.priority,
            )
            program = self.open(start)
        context = request.context
        self._arrive(program, context)
        self._tell_left(program)
        expected, now_s = self._expected(program, request), self._dispatcher.now()
        name, run_id, num_new = request.request_id, program.start.run_id, program.num_new(context)
        num_tokens = max(len(context), program.prefix_tokens)
        asked = CallAsked(now_s, run_id, name, num_tokens, num_new, expected)
        return OpenCall(
            call=name,
            program=program,
            context=context,
            expected=expected,
            asked_s=now_s,
            replica=self._dispatcher.ask(asked),
            is_anonymous=is_anonymous,
        )

    def dispatched(self, call: OpenCall) -> None:
        call.is_dispatched = True
        call.program.waited_s += self._dispatcher.now() - call.asked_s

    def grew(self, call: OpenCall, delta: Delta) -> None:
        """An engine has sent more of a call."""
        call.num_output += len(delta.token_ids)
        if delta.index == 0:
            call.said += delta.token_ids
        is_first = not call.is_prefilled
        call.is_prefilled = True
        more = call.num_output - max(call.num_told, call.expected)
        if (is_first or more >= GROWTH_TOKENS) and self._is_open(call):
            call.num_told = call.num_output
            now_s = self._dispatcher.now()
            self._dispatcher.tell(CallGrew(now_s, call.call, call.num_output))

    def answered(self, call: OpenCall, num_sequences: int = 1) -> None:
        """Every sequence of a call came to its own end."""
        program, now_s = call.program, self._dispatcher.now()
        context = (*call.context, *call.said)
        program.keep(context)
        program.work_s.append(program.worked_s(now_s))
        self._profiles.answered(program.start.path, call.num_output / num_sequences)
        if self._is_open(call):
            num_kept = max(len(context), program.prefix_tokens)
            self._dispatcher.tell(CallAnswered(now_s, call.call, call.num_output, num_kept))
        self._leave(call)

    def cancelled(self, call: OpenCall) -> None:
        """Nobody waits for a call any more, or it failed."""
        if self._is_open(call):
            self._dispatcher.tell(CallCancelled(self._dispatcher.now(), call.call))
        self._leave(call)

    def _leave(self, call: OpenCall) -> None:
        call.program.left_s = self._dispatcher.now()
        if call.is_anonymous:
            self.end(call.program.start.run_id)

    def _is_open(self, call: OpenCall) -> bool:
        """The scheduler has not forgotten it with its program, nor refused it."""
        return call.call in self._dispatcher.scheduler.ledger.calls

    def _arrive(self, program: OpenProgram, context: tuple[int, ...]) -> None:
        if program.has_arrived:
            return
        program.has_arrived = True
        start, now_s = program.start, self._dispatcher.now()
        prefix = self._prefixes.share(start.tenant, start.path, context)
        program.prefix_tokens = prefix.num_tokens
        until_s = None if start.deadline_s is None else program.began_s + start.deadline_s
        self._dispatcher.tell(
            ProgramArrived(
                now_s,
                start.run_id,
                tenant=start.tenant,
                priority=start.priority,
                deadline_s=until_s,
                prefix=prefix.name,
                prefix_tokens=prefix.num_tokens,
                budget_tokens=start.budget_tokens,
            )
        )

    def _expected(self, program: OpenProgram, request: Request) -> int:
        if request.lane is not None:
            team = request.lane.team
            each = team.lane_tokens or self._profiles.expected_output(program.start.path, None)
            return team.max_lanes * each
        sampling = request.sampling
        each = self._profiles.expected_output(program.start.path, sampling.max_tokens)
        return request.n * max(each, sampling.min_tokens)

    def _tell_left(self, program: OpenProgram) -> None:
        left = self._left(program)
        if left is not None:
            now_s, run_id = self._dispatcher.now(), program.start.run_id
            self._dispatcher.tell(SuccessorsKnown(now_s, run_id, left.steps, left.seconds))

    def _left(self, program: OpenProgram) -> Left | None:
        """What earlier Runs had left here, at least what this one has submitted already."""
        path, scheduler = program.start.path, self._dispatcher.scheduler
        gen_s = scheduler.policy.costs.call_s(
            new_tokens=0,
            context_tokens=len(program.context),
            output_tokens=self._profiles.expected_output(path, None),
        )
        tool_times = scheduler.ledger.tool_times
        certain = program.successors.path(gen_s, lambda tool: tool_times.remaining_s(tool, 0.0))
        likely = self._profiles.left(path, len(program.work_s))
        if likely is not None:
            return Left(max(likely.steps, certain.steps), max(likely.seconds, certain.seconds))
        # Of a program never seen to end, a single open call says nothing, and several not the end.
        return Left(certain.steps + 1, certain.seconds) if certain.steps > 1 else None

    def _heard_step(self, event: StepEvent) -> None:
        program = self._programs.get(event.run_id)
        if program is not None:
            program.successors.heard(event)
            if event.kind == "tool":
                self._heard_tool(event, program)

    def _heard_tool(self, event: StepEvent, program: OpenProgram) -> None:
        """Tools before a Run's first call hold nothing up and are not told of."""
        now_s = self._dispatcher.now()
        run = f"{event.run_id}/{event.lineage}"
        if event.phase == "started":
            program.tools[run] = ToolRun(event.name, now_s)
            if program.has_arrived:
                self._dispatcher.tell(ToolStarted(now_s, event.run_id, event.name, run))
        elif event.phase in ("finished", "failed", "cancelled"):
            program.tools.pop(run, None)
            if self._is_told_of(event.run_id, run):
                self._dispatcher.tell(ToolReturned(now_s, event.run_id, run))

    def _is_told_of(self, run_id: str, tool_run: str) -> bool:
        account = self._dispatcher.scheduler.ledger.programs.get(run_id)
        return account is not None and tool_run in account.tools

"""The accounts of all that is open, kept from the facts alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from weft.errors import InvalidRequest
from weft.runtime.scheduler import residency
from weft.runtime.scheduler.accounts import (
    CallAccount,
    ProgramAccount,
    ReplicaAccount,
    TenantAccount,
    ToolRun,
)
from weft.runtime.scheduler.decisions import (
    Demote,
    Dispatch,
    Evict,
    Fact,
    Pause,
    Prefetch,
    Refuse,
)
from weft.runtime.scheduler.facts import (
    CallAnswered,
    CallAsked,
    CallCancelled,
    CallGrew,
    KvLost,
    ProgramArrived,
    ProgramEnded,
    ReplicaLeft,
    ReplicaSized,
    SuccessorsKnown,
    ToolReturned,
    ToolStarted,
)
from weft.runtime.scheduler.tool_times import ToolTimes

__all__ = ["Ledger"]

T = TypeVar("T")

SOONEST_S = 0.05
"""Nobody is taken to return sooner: what keeps rates finite."""


class Ledger:
    """Open programs, their calls, tenants and replicas, all found by id.

    A fact costs time in proportion to what it changes: one program at most, or what a lost
    replica held. Facts that contradict what was told before raise InvalidRequest and change
    nothing. The accounts are to be read only.
    """

    __slots__ = (
        "_tell",
        "calls",
        "newcomer_tokens",
        "num_asked",
        "programs",
        "replicas",
        "tenants",
        "tool_times",
    )

    def __init__(self) -> None:
        self.programs: dict[str, ProgramAccount] = {}
        self.calls: dict[str, CallAccount] = {}
        self.replicas: dict[str, ReplicaAccount] = {}
        self.tenants: dict[str, TenantAccount] = {}
        """Of open programs, and of those who ever got service."""
        self.tool_times = ToolTimes()
        self.num_asked = 0
        self.newcomer_tokens = 0
        """What programs that hold nothing wait to take at least, each by its largest call."""
        # Any: each entry takes the fact that it stands under.
        self._tell: Mapping[type, Callable[[Any], None]] = {
            ReplicaSized: self._replica_sized,
            ReplicaLeft: self._replica_left,
            ProgramArrived: self._program_arrived,
            CallAsked: self._call_asked,
            CallGrew: self._call_grew,
            CallAnswered: self._call_answered,
            CallCancelled: self._call_cancelled,
            ToolStarted: self._tool_started,
            ToolReturned: self._tool_returned,
            SuccessorsKnown: self._successors_known,
            KvLost: self._kv_lost,
            ProgramEnded: self._program_ended,
            Demote: self._demoted,
            Dispatch: self._dispatched,
            Evict: self._kv_lost,
            Pause: self._paused,
            Prefetch: self._prefetched,
            Refuse: self._call_cancelled,
        }

    def tell(self, fact: Fact) -> None:
        """Take one fact. Raises InvalidRequest for ids that are unknown or taken twice."""
        touched = self.programs_of(fact)
        self._tell[type(fact)](fact)
        for program in touched or self.programs_of(fact):
            self._count_newcomer(program)

    def programs_of(self, fact: Fact) -> list[ProgramAccount]:
        """Open programs that a fact is about, not those that share what it changes."""
        if isinstance(fact, ReplicaSized | CallGrew):
            return []
        if isinstance(fact, ReplicaLeft):
            replica = self.replicas.get(fact.replica)
            if replica is None:
                return []
            return [*replica.residents.values(), *replica.spilled.values()]
        name = getattr(fact, "program", None)
        if name is None:
            call = self.calls.get(getattr(fact, "call", ""))
            return [] if call is None else [call.program]
        program = self.programs.get(name)
        return [] if program is None else [program]

    def returns_in_s(self, program: ProgramAccount, now_s: float) -> float:
        """When a program will probably ask again: at once if it does, else when the last of its
        tools is back. With no tool in flight it is taken to stay away as long again."""
        if program.waiting or program.running:
            return 0.0
        if not program.tools:
            return now_s - program.idle_since_s
        return max(
            self.tool_times.remaining_s(run.tool, now_s - run.started_s)
            for run in program.tools.values()
        )

    def return_rate(self, program: ProgramAccount, now_s: float) -> float:
        """How likely a program is to ask soon, per second; that of its slowest tool in flight."""
        if program.waiting or program.running:
            return 1 / SOONEST_S
        if not program.tools:
            return 1 / max(SOONEST_S, now_s - program.idle_since_s)
        return min(
            1 / SOONEST_S,
            *(
                self.tool_times.return_rate(run.tool, now_s - run.started_s)
                for run in program.tools.values()
            ),
        )

    def _replica_sized(self, fact: ReplicaSized) -> None:
        if fact.capacity_tokens < 1 or fact.max_calls < 1 or fact.spill_tokens < 0:
            raise InvalidRequest(f"{fact!r} has no room.", remedy="Tell that the replica left.")
        replica = self.replicas.get(fact.replica)
        if replica is None:
            self.replicas[fact.replica] = ReplicaAccount(
                replica=fact.replica,
                capacity_tokens=fact.capacity_tokens,
                max_calls=fact.max_calls,
                spill_capacity_tokens=fact.spill_tokens,
            )
            return
        replica.capacity_tokens, replica.max_calls = fact.capacity_tokens, fact.max_calls
        replica.spill_capacity_tokens = fact.spill_tokens

    def _replica_left(self, fact: ReplicaLeft) -> None:
        replica = _find(self.replicas, fact.replica, "replica")
        for program in list(replica.residents.values()):
            for call in list(program.running.values()):
                residency.stop_call(call, fact.at_s)
                call.output_tokens, call.is_prefilled = 0, False
                program.waiting[call.call] = call
            residency.vacate(program)
        for program in list(replica.spilled.values()):
            residency.unspill(program)
        del self.replicas[fact.replica]

    def _program_arrived(self, fact: ProgramArrived) -> None:
        _refuse_known(self.programs, fact.program, "program")
        if bool(fact.prefix) != (fact.prefix_tokens > 0):
            raise InvalidRequest(
                f"The prefix {fact.prefix!r} has {fact.prefix_tokens!r} tokens.",
                remedy="Give a name and a size, or neither.",
            )
        tenant = self.tenants.setdefault(fact.tenant, TenantAccount(tenant=fact.tenant))
        tenant.num_programs += 1
        self.programs[fact.program] = ProgramAccount(
            program=fact.program,
            tenant=tenant,
            priority=fact.priority,
            arrived_s=fact.at_s,
            deadline_s=fact.deadline_s,
            prefix=fact.prefix,
            prefix_tokens=fact.prefix_tokens,
            budget_tokens=fact.budget_tokens,
            context_tokens=fact.prefix_tokens,
            idle_since_s=fact.at_s,
        )

    def _call_asked(self, fact: CallAsked) -> None:
        program = _find(self.programs, fact.program, "program")
        _refuse_known(self.calls, fact.call, "call")
        largest = max(fact.new_tokens, program.prefix_tokens)
        if fact.new_tokens < 0 or fact.context_tokens < largest:
            raise InvalidRequest(
                f"{fact!r} has fewer tokens than are new, or than its program's prefix.",
                remedy="context_tokens counts the whole prompt.",
            )
        history = max(program.prefix_tokens, fact.context_tokens - fact.new_tokens)
        call = CallAccount(
            call=fact.call,
            ordinal=self.num_asked,
            program=program,
            asked_s=fact.at_s,
            context_tokens=fact.context_tokens,
            new_tokens=fact.context_tokens - history,
            expected_output_tokens=_expected(fact, program),
            path_s=_path_to(fact, program),
        )
        call.least_tokens = call.size_tokens - program.prefix_tokens
        self.num_asked += 1
        self.calls[fact.call] = program.waiting[fact.call] = call

    def _dispatched(self, fact: Dispatch) -> None:
        call = self.calls[fact.call]
        residency.start_call(call, self.replicas[fact.replica], fact.at_s)

    def _call_grew(self, fact: CallGrew) -> None:
        call = self._running(fact.call)
        before = call.room_tokens
        call.output_tokens = max(call.output_tokens, fact.output_tokens)
        residency.charge_room(call, call.room_tokens - before)
        residency.warm(call)

    def _call_answered(self, fact: CallAnswered) -> None:
        call = self._running(fact.call)
        program = call.program
        if (
            not program.prefix_tokens
            <= fact.context_tokens
            <= (call.context_tokens + fact.output_tokens)
        ):
            raise InvalidRequest(
                f"{fact!r} leaves a context that its prompt and output do not make.",
                remedy="context_tokens counts prompt and output, or what is kept of them.",
            )
        residency.stop_call(call, fact.at_s)
        del self.calls[fact.call]
        self._keep(call, fact)
        service_s = fact.at_s - call.dispatched_s
        program.attained_s += service_s
        program.paths[fact.call] = call.path_s + service_s
        program.path_s = max(program.path_s, call.path_s + service_s)
        program.num_answered += 1
        program.spent_tokens += fact.output_tokens
        program.tenant.service_tokens += call.new_tokens + fact.output_tokens

    def _keep(self, call: CallAccount, fact: CallAnswered) -> None:
        """A lone call's context is its program's; branches side by side are all kept."""
        program = call.program
        program.context_tokens = fact.context_tokens
        kept = fact.context_tokens
        if program.running or program.waiting:
            kept = program.resident_tokens + max(0, kept - call.history_tokens)
        residency.resize(program, kept)

    def _call_cancelled(self, fact: CallCancelled | Refuse) -> None:
        call = _find(self.calls, fact.call, "open call")
        if call.replica is not None:
            residency.stop_call(call, fact.at_s)
        else:
            del call.program.waiting[fact.call]
        del self.calls[fact.call]

    def _tool_started(self, fact: ToolStarted) -> None:
        tools = _find(self.programs, fact.program, "program").tools
        _refuse_known(tools, fact.tool_run, "tool run")
        tools[fact.tool_run] = ToolRun(fact.tool, fact.at_s)

    def _tool_returned(self, fact: ToolReturned) -> None:
        tools = _find(self.programs, fact.program, "program").tools
        run = _find(tools, fact.tool_run, "tool run")
        del tools[fact.tool_run]
        self.tool_times.add(run.tool, fact.at_s - run.started_s)

    def _successors_known(self, fact: SuccessorsKnown) -> None:
        program = _find(self.programs, fact.program, "program")
        program.steps_left, program.seconds_left = fact.steps_left, fact.seconds_left

    def _kv_lost(self, fact: KvLost | Evict) -> None:
        program = _find(self.programs, fact.program, "program")
        if program.running:
            raise InvalidRequest(
                f"Program {fact.program!r} is being served and cannot lose its KV.",
                remedy="Cancel its calls first, or tell that the replica left.",
            )
        self._clear(program)

    def _clear(self, program: ProgramAccount) -> None:
        """Nothing of it is held or kept anywhere."""
        if program.home is not None:
            residency.vacate(program)
        residency.unspill(program)

    def _demoted(self, fact: Demote) -> None:
        residency.spill(self.programs[fact.program])

    def _paused(self, fact: Pause) -> None:
        program = self.programs[fact.program]
        self._clear(program)
        program.is_paused, program.paused_s = True, fact.at_s
        program.num_pauses += 1

    def _prefetched(self, fact: Prefetch) -> None:
        program = self.programs[fact.program]
        residency.settle(program, self.replicas[fact.replica], program.context_tokens, fact.at_s)

    def _program_ended(self, fact: ProgramEnded) -> None:
        program = _find(self.programs, fact.program, "program")
        for call in list(program.running.values()):
            residency.stop_call(call, fact.at_s)
            del self.calls[call.call]
        for name in program.waiting:
            del self.calls[name]
        self._clear(program)
        del self.programs[fact.program]
        tenant = program.tenant
        tenant.num_programs -= 1
        if not tenant.num_programs and not tenant.service_tokens:
            del self.tenants[tenant.tenant]

    def _count_newcomer(self, program: ProgramAccount) -> None:
        now = _newcomer_tokens(program) if program.program in self.programs else 0
        self.newcomer_tokens += now - program.newcomer_tokens
        program.newcomer_tokens = now

    def _running(self, name: str) -> CallAccount:
        call = _find(self.calls, name, "open call")
        if call.replica is None:
            raise InvalidRequest(
                f"Call {name!r} was not dispatched.", remedy="Run calls after their Dispatch."
            )
        return call


def _newcomer_tokens(program: ProgramAccount) -> int:
    """What it waits to take at least, if it holds nothing."""
    if program.home is not None:
        return 0
    return max((call.least_tokens for call in program.waiting.values()), default=0)


def _expected(fact: CallAsked, program: ProgramAccount) -> int:
    """At least one token, at most what is left of the budget."""
    expected = max(1, fact.expected_output_tokens)
    if program.budget_tokens is None:
        return expected
    return max(1, min(expected, program.budget_tokens - program.spent_tokens))


def _path_to(fact: CallAsked, program: ProgramAccount) -> float:
    if fact.parents is None:
        return program.path_s
    return max((program.paths.get(parent, 0.0) for parent in fact.parents), default=0.0)


def _find(table: Mapping[str, T], name: str, kind: str) -> T:
    try:
        return table[name]
    except KeyError:
        raise InvalidRequest(
            f"There is no {kind} {name!r}.", remedy="Tell of its begin first, and of its end once."
        ) from None


def _refuse_known(table: Mapping[str, object], name: str, kind: str) -> None:
    if name in table:
        raise InvalidRequest(
            f"There is a {kind} {name!r} already.", remedy="Use every id once at a time."
        )

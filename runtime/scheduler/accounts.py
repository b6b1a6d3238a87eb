"""The accounts of calls, programs, tenants and replicas. The Ledger alone changes them."""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = [
    "CallAccount",
    "Phase",
    "PrefixAccount",
    "ProgramAccount",
    "ReplicaAccount",
    "TenantAccount",
    "ToolRun",
]

Phase = Literal["new", "waiting", "generating", "acting", "paused"]
"""Of an open program; one that has ended has no account any more."""


class ToolRun(NamedTuple):
    tool: str
    started_s: float


class CallAccount:
    """One open call. ``replica`` is None while it waits."""

    __slots__ = (
        "asked_s",
        "call",
        "context_tokens",
        "dispatched_s",
        "expected_output_tokens",
        "is_prefilled",
        "least_tokens",
        "new_tokens",
        "ordinal",
        "output_tokens",
        "path_s",
        "program",
        "replica",
    )

    def __init__(
        self,
        *,
        call: str,
        ordinal: int,
        program: ProgramAccount,
        asked_s: float,
        context_tokens: int,
        new_tokens: int,
        expected_output_tokens: int,
        path_s: float,
    ) -> None:
        self.call = call
        self.ordinal = ordinal
        """Calls asked before it, of all programs: breaks ties."""
        self.program = program
        self.asked_s = asked_s
        self.context_tokens = context_tokens
        self.new_tokens = new_tokens
        self.expected_output_tokens = expected_output_tokens
        self.path_s = path_s
        """Service on the longest path of calls that led to it."""
        self.least_tokens = 0
        """What it takes at least where its program holds nothing: a shared prefix may be there."""
        self.replica: ReplicaAccount | None = None
        self.dispatched_s = 0.0
        self.output_tokens = 0
        self.is_prefilled = False

    @property
    def room_tokens(self) -> int:
        """What it adds to its program's KV: the new part of the prompt, and its output."""
        return self.new_tokens + max(self.expected_output_tokens, self.output_tokens)

    @property
    def history_tokens(self) -> int:
        """The part of its prompt that earlier calls had, or that is shared."""
        return self.context_tokens - self.new_tokens

    @property
    def size_tokens(self) -> int:
        """What it takes where nothing of it is held."""
        return self.history_tokens + self.room_tokens


class ProgramAccount:
    """One open program."""

    __slots__ = (
        "arrived_s",
        "attained_s",
        "budget_tokens",
        "context_tokens",
        "deadline_s",
        "home",
        "idle_since_s",
        "is_paused",
        "newcomer_tokens",
        "num_answered",
        "num_pauses",
        "path_s",
        "paths",
        "paused_s",
        "prefix",
        "prefix_tokens",
        "priority",
        "program",
        "resident_tokens",
        "room_tokens",
        "running",
        "seconds_left",
        "spent_tokens",
        "spilled_to",
        "spilled_tokens",
        "steps_left",
        "tenant",
        "tools",
        "waiting",
    )

    def __init__(
        self,
        *,
        program: str,
        tenant: TenantAccount,
        priority: int,
        arrived_s: float,
        deadline_s: float | None,
        prefix: str,
        prefix_tokens: int,
        budget_tokens: int | None,
        idle_since_s: float,
        context_tokens: int = 0,
    ) -> None:
        self.program = program
        self.tenant = tenant
        self.priority = priority
        self.arrived_s = arrived_s
        self.deadline_s = deadline_s
        self.prefix = prefix
        self.prefix_tokens = prefix_tokens
        self.budget_tokens = budget_tokens
        self.spent_tokens = 0
        self.context_tokens = context_tokens
        """What its next call is likely to begin with."""
        self.home: ReplicaAccount | None = None
        """Where its KV is; None: nowhere, or demoted."""
        self.spilled_to: ReplicaAccount | None = None
        """Beside which replica what it alone had is kept; None: nowhere. Never with a home."""
        self.spilled_tokens = 0
        self.resident_tokens = 0
        """History held there, the shared prefix included."""
        self.room_tokens = 0
        """The rooms of its running calls."""
        self.newcomer_tokens = 0
        """Of the ledger's, those for this program."""
        self.waiting: dict[str, CallAccount] = {}
        self.running: dict[str, CallAccount] = {}
        self.tools: dict[str, ToolRun] = {}
        self.idle_since_s = idle_since_s
        """Since when nothing of it runs on an engine."""
        self.attained_s = 0.0
        """Service of its answered calls: the time from dispatch to answer."""
        self.path_s = 0.0
        """The longest path of that service."""
        self.paths: dict[str, float] = {}
        """The same up to the end of every answered call."""
        self.steps_left: int | None = None
        self.seconds_left: float | None = None
        """The critical path left; None: unknown."""
        self.num_answered = 0
        self.num_pauses = 0
        self.is_paused = False
        self.paused_s = 0.0
        """When it was last paused, if ever."""

    @property
    def private_tokens(self) -> int:
        """What it alone holds."""
        return self.resident_tokens + self.room_tokens - self.prefix_tokens if self.home else 0

    @property
    def anchor(self) -> ReplicaAccount | None:
        """Where its next call costs least: where its KV is, demoted or not."""
        return self.home or self.spilled_to

    @property
    def footprint_tokens(self) -> float:
        """What it holds, the shared prefix divided by those who share it there."""
        if self.home is None:
            return 0.0
        if not self.prefix:
            return float(self.private_tokens)
        num_sharers = self.home.prefixes[self.prefix].num_sharers
        return self.private_tokens + self.prefix_tokens / num_sharers

    @property
    def phase(self) -> Phase:
        if self.running:
            return "generating"
        if self.is_paused:
            return "paused"
        if self.waiting:
            return "waiting"
        return "acting" if self.num_answered or self.tools else "new"


class TenantAccount:
    __slots__ = (
        "num_programs",
        "service_tokens",
        "tenant",
    )

    def __init__(
        self,
        *,
        tenant: str,
    ) -> None:
        self.tenant = tenant
        self.num_programs = 0
        self.service_tokens = 0
        """Prompt tokens that were new and output tokens, of answered calls."""


class PrefixAccount:
    """A shared prefix on one replica."""

    __slots__ = (
        "num_sharers",
        "num_tokens",
        "warmed_by",
    )

    def __init__(
        self,
        *,
        num_tokens: int,
    ) -> None:
        self.num_tokens = num_tokens
        self.num_sharers = 0
        self.warmed_by: str | None = None
        """The call that computes it now; None once it is there."""


class ReplicaAccount:
    """One replica and what it holds."""

    __slots__ = (
        "capacity_tokens",
        "idle",
        "idle_tokens",
        "max_calls",
        "num_running",
        "prefix_tokens",
        "prefixes",
        "private_tokens",
        "replica",
        "residents",
        "spill_capacity_tokens",
        "spilled",
        "spilled_tokens",
    )

    def __init__(
        self,
        *,
        replica: str,
        capacity_tokens: int,
        max_calls: int,
        spill_capacity_tokens: int = 0,
    ) -> None:
        self.replica = replica
        self.capacity_tokens = capacity_tokens
        self.max_calls = max_calls
        self.spill_capacity_tokens = spill_capacity_tokens
        self.private_tokens = 0
        self.prefix_tokens = 0
        self.num_running = 0
        self.prefixes: dict[str, PrefixAccount] = {}
        self.residents: dict[str, ProgramAccount] = {}
        self.idle: dict[str, ProgramAccount] = {}
        """Residents of which nothing runs, longest idle first."""
        self.idle_tokens = 0
        """What the idle alone hold."""
        self.spilled: dict[str, ProgramAccount] = {}
        """Programs whose KV was demoted here, longest ago first."""
        self.spilled_tokens = 0

    @property
    def used_tokens(self) -> int:
        return self.private_tokens + self.prefix_tokens

    @property
    def free_tokens(self) -> int:
        """May be negative: outputs grow beyond what was expected."""
        return self.capacity_tokens - self.used_tokens

    @property
    def spill_room_tokens(self) -> int:
        return self.spill_capacity_tokens - self.spilled_tokens

    @property
    def has_lane(self) -> bool:
        """Whether one more call may run."""
        return self.num_running < self.max_calls

    def need_tokens(self, call: CallAccount) -> int:
        """What is used more of this replica once the call runs on it."""
        program = call.program
        if program.home is self:
            restored = max(0, call.history_tokens - program.resident_tokens)
            return restored + call.room_tokens
        shared = program.prefix_tokens if program.prefix in self.prefixes else 0
        return call.size_tokens - shared

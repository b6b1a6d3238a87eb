"""The accounts of calls, programs, tenants and replicas. The Ledger alone changes them."""

from __future__ import annotations

from dataclasses import dataclass, field
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


@dataclass(slots=True, kw_only=True, eq=False)
class CallAccount:
    """One open call. ``replica`` is None while it waits."""

    call: str
    ordinal: int
    """Calls asked before it, of all programs: breaks ties."""
    program: ProgramAccount
    asked_s: float
    context_tokens: int
    new_tokens: int
    expected_output_tokens: int
    path_s: float
    """Service on the longest path of calls that led to it."""
    least_tokens: int = 0
    """What it takes at least where its program holds nothing: the shared prefix may be there."""
    replica: ReplicaAccount | None = None
    dispatched_s: float = 0.0
    output_tokens: int = 0
    is_prefilled: bool = False

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


@dataclass(slots=True, kw_only=True, eq=False)
class ProgramAccount:
    """One open program."""

    program: str
    tenant: TenantAccount
    priority: int
    arrived_s: float
    deadline_s: float | None
    prefix: str
    prefix_tokens: int
    budget_tokens: int | None
    spent_tokens: int = 0
    context_tokens: int = 0
    """What its next call is likely to begin with."""
    home: ReplicaAccount | None = None
    """Where its KV is; None: nowhere, or demoted."""
    spilled_to: ReplicaAccount | None = None
    """Beside which replica what it alone had is kept; None: nowhere. Never with a home."""
    spilled_tokens: int = 0
    resident_tokens: int = 0
    """History held there, the shared prefix included."""
    room_tokens: int = 0
    """The rooms of its running calls."""
    waiting: dict[str, CallAccount] = field(default_factory=dict[str, CallAccount])
    running: dict[str, CallAccount] = field(default_factory=dict[str, CallAccount])
    tools: dict[str, ToolRun] = field(default_factory=dict[str, ToolRun])
    idle_since_s: float
    """Since when nothing of it runs on an engine."""
    attained_s: float = 0.0
    """Service of its answered calls: the time from dispatch to answer."""
    path_s: float = 0.0
    """The longest path of that service."""
    paths: dict[str, float] = field(default_factory=dict[str, float])
    """The same up to the end of every answered call."""
    steps_left: int | None = None
    seconds_left: float | None = None
    """The critical path left; None: unknown."""
    num_answered: int = 0
    num_pauses: int = 0
    is_paused: bool = False
    paused_s: float = 0.0
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


@dataclass(slots=True, kw_only=True, eq=False)
class TenantAccount:
    tenant: str
    num_programs: int = 0
    service_tokens: int = 0
    """Prompt tokens that were new and output tokens, of answered calls."""


@dataclass(slots=True, kw_only=True, eq=False)
class PrefixAccount:
    """A shared prefix on one replica."""

    num_tokens: int
    num_sharers: int = 0
    warmed_by: str | None = None
    """The call that computes it now; None once it is there."""


@dataclass(slots=True, kw_only=True, eq=False)
class ReplicaAccount:
    """One replica and what it holds."""

    replica: str
    capacity_tokens: int
    max_calls: int
    spill_capacity_tokens: int = 0
    private_tokens: int = 0
    prefix_tokens: int = 0
    num_running: int = 0
    prefixes: dict[str, PrefixAccount] = field(default_factory=dict[str, PrefixAccount])
    residents: dict[str, ProgramAccount] = field(default_factory=dict[str, ProgramAccount])
    idle: dict[str, ProgramAccount] = field(default_factory=dict[str, ProgramAccount])
    """Residents of which nothing runs, longest idle first."""
    idle_tokens: int = 0
    """What the idle alone hold."""
    spilled: dict[str, ProgramAccount] = field(default_factory=dict[str, ProgramAccount])
    """Programs whose KV was demoted here, longest ago first."""
    spilled_tokens: int = 0

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

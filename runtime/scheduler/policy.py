"""What a scheduling policy decides, and what it decides if it has no opinion."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from weft.runtime.scheduler.accounts import CallAccount, ProgramAccount, ReplicaAccount
from weft.runtime.scheduler.costs import Costs
from weft.runtime.scheduler.decisions import Fact
from weft.runtime.scheduler.ledger import Ledger
from weft.runtime.scheduler.line import Place

__all__ = ["SchedulingPolicy", "Worth"]


class Worth(NamedTuple):
    """Of a program's KV. The least goes first."""

    rank: float
    loss: float = 0.0
    """What giving it up loses, as far as a policy protects by that."""


class SchedulingPolicy:
    """Which waiting calls go first, which programs are held, and whose KV is worth keeping.

    As it stands: first come first served, least recently used KV given up first, nothing held. A
    policy overrides what it does otherwise. It reads the ledger, never changes it, and may keep
    what it learns from facts; equal facts and times must give equal answers.
    """

    name = "fcfs"
    uses_costs = False
    """Whether what it decides depends on what work costs."""
    keeps_busy = True
    """Whether nothing is protected on a replica that would run nothing otherwise."""
    pauses = False
    """Whether a program that gives up its KV is held too, instead of evicted alone."""
    holders_pass = False
    """Whether room that is kept for one call may go to others whose programs' KV is there."""
    demotes = False
    """Whether KV that is given up is kept outside the KV pool where there is room."""
    values_last_s = float("inf")
    """For how long what ``keep_value`` says of a program stands if no fact is about it."""
    patience_s = 0.0
    """For how long later calls may pass one that does not fit; then room is kept for it."""

    def __init__(self, costs: Costs | None = None) -> None:
        self.costs = costs or Costs()

    def told(self, fact: Fact, ledger: Ledger) -> None:
        """Learn from a fact that the ledger has just taken."""

    def place(self, call: CallAccount, ledger: Ledger, now_s: float) -> Place:
        """Where a waiting call stands; asked again after every fact about its program."""
        return Place((-call.program.priority, call.asked_s))

    def moved(self) -> Iterable[str]:
        """Programs whose calls are to be placed anew though no fact was about them."""
        return ()

    def sweep(self, ledger: Ledger, now_s: float) -> Sequence[ProgramAccount]:
        """Idle programs to pause now, whatever waits."""
        return ()

    def admits(self, call: CallAccount, ledger: Ledger, now_s: float) -> bool:
        """Whether a call may be dispatched at all for now."""
        return True

    def defers(self, call: CallAccount, replica: ReplicaAccount, now_s: float) -> bool:
        """Whether a call had better wait for something that goes on on that replica."""
        return False

    def headroom_tokens(self, replica: ReplicaAccount, ledger: Ledger) -> int:
        """What calls must leave free there whose programs hold nothing there."""
        return 0

    def keep_value(self, program: ProgramAccount, ledger: Ledger, now_s: float) -> Worth:
        """What an idle program's KV is worth."""
        return Worth(program.idle_since_s)

    def spill_value(self, program: ProgramAccount, ledger: Ledger, now_s: float) -> Worth:
        """What keeping its KV outside the pool is worth, or would be."""
        return Worth(program.idle_since_s)

    def protects(
        self, program: ProgramAccount, worth: Worth, call: CallAccount, now_s: float
    ) -> bool:
        """Whether an idle program's KV, worth so much lately, is not given up for this call."""
        return False

    def stirred(self, ledger: Ledger, now_s: float) -> Iterable[str]:
        """Replicas where time alone, or another's end, may have changed what is decided."""
        return ()

    def wake_s(self, ledger: Ledger, now_s: float) -> float:
        """When time alone may change what is decided of waiting calls; infinity: never."""
        return float("inf")

    def prefetches(self, ledger: Ledger, now_s: float) -> Iterable[ProgramAccount]:
        """Demoted programs to read back where there is room that nobody waits for."""
        return ()

    def prefetch_s(self, now_s: float) -> float:
        """When ``prefetches`` should be asked again; infinity: whenever something happens."""
        return float("inf")

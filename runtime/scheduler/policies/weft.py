"""The default policy: uses all that a runtime of programs knows."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from weft.errors import InvalidRequest
from weft.runtime.scheduler.accounts import CallAccount, ProgramAccount, ReplicaAccount
from weft.runtime.scheduler.costs import Costs
from weft.runtime.scheduler.decisions import Demote, Dispatch, Evict, Fact, Pause
from weft.runtime.scheduler.facts import CallAsked, KvLost, ProgramEnded
from weft.runtime.scheduler.fair_shares import FairShares
from weft.runtime.scheduler.ledger import Ledger
from weft.runtime.scheduler.line import Place
from weft.runtime.scheduler.policy import SchedulingPolicy

__all__ = ["WeftPolicy"]

RECHECK_S = 0.25
"""How often predictions are looked at again while calls wait."""


class WeftPolicy(SchedulingPolicy):
    """Every call has a virtual time of arrival in seconds; the earliest goes first.

    It is when the call was asked, made earlier by ``patience_s`` if its program holds KV (it ends
    soonest, and then frees it), later by up to half of that for what its tenant had beyond its
    fair share and again for the critical path left, and by ``patience_s`` for each level of
    priority. A deadline that can still be met pulls it to ``patience_s`` before the latest start.
    As all these are bounded and time is not, everything ages.

    KV of an idle program is protected as long as computing it again would cost the engine more
    than one more call in the batch wins until the program returns; that is nothing where nothing
    runs, so no engine idles. Past ``patience_s`` the call that does not fit is given all idle KV,
    and room is kept for it. Who gives up KV is who wins least by it: cost to restore, per token
    and second until the predicted next use. A program whose KV is taken is held as long as it
    does not fit again. Of calls that share a prefix which nobody holds, one computes it first.
    """

    name = "weft"
    uses_costs = True
    pauses = True
    demotes = True
    values_last_s = 0.5

    def __init__(self, costs: Costs | None = None, *, patience_s: float = 30.0) -> None:
        super().__init__(costs)
        if not 0 < patience_s < float("inf"):
            raise InvalidRequest(
                f"A patience of {patience_s!r} s.", remedy="Give a positive time, as 30 s."
            )
        self.patience_s = patience_s
        self._shares = FairShares(max_lag_s=patience_s / 2)
        self._recheck_s = float("-inf")
        self._returns: list[tuple[float, str]] = []
        """When to restore the KV of which programs."""

    def told(self, fact: Fact, ledger: Ledger) -> None:
        match fact:
            case CallAsked():
                self._shares.asked(ledger.calls[fact.call], self._call_s(ledger.calls[fact.call]))
            case Dispatch():
                self._shares.dispatched(ledger.calls[fact.call])
            case Demote() | Pause() | Evict() | KvLost():
                self._await(ledger.programs[fact.program], ledger, fact.at_s)
            case ProgramEnded():
                self._shares.ended(fact.program)
            case _:
                pass

    def place(self, call: CallAccount, ledger: Ledger, now_s: float) -> Place:
        program = call.program
        at_s = call.asked_s - self.patience_s * program.priority + self._shares.lag_s(call)
        at_s += min(program.seconds_left or 0.0, self.patience_s / 2)
        if program.home is not None:
            at_s -= self.patience_s
        if program.deadline_s is None:
            return Place((at_s,))
        path_s = max(program.seconds_left or 0.0, self._call_s(call))
        latest_s = program.deadline_s - path_s
        if now_s >= latest_s:
            return Place((at_s,))
        return Place((min(at_s, latest_s - self.patience_s),), latest_s)

    def defers(self, call: CallAccount, replica: ReplicaAccount, now_s: float) -> bool:
        prefix = replica.prefixes.get(call.program.prefix)
        return prefix is not None and prefix.warmed_by is not None

    def keep_value(self, program: ProgramAccount, ledger: Ledger, now_s: float) -> float:
        if _is_done(program):
            return 0.0
        held = max(1, program.private_tokens or program.spilled_tokens)
        return self._restore_s(program) * ledger.return_rate(program, now_s) / held

    def protects(
        self, program: ProgramAccount, call: CallAccount, ledger: Ledger, now_s: float
    ) -> bool:
        if _is_done(program) or now_s - call.asked_s >= self.patience_s:
            return False
        assert program.home is not None
        away_s = 1 / ledger.return_rate(program, now_s)
        return self._restore_s(program) > away_s * self._gain(program.home)

    def stirred(self, ledger: Ledger, now_s: float) -> Iterable[str]:
        if now_s < self._recheck_s:
            return ()
        self._recheck_s = now_s + RECHECK_S
        return [name for name, replica in ledger.replicas.items() if replica.idle]

    def wake_s(self, ledger: Ledger, now_s: float) -> float:
        has_idle = any(replica.idle for replica in ledger.replicas.values())
        return self._recheck_s if has_idle else float("inf")

    def prefetches(self, ledger: Ledger, now_s: float) -> Iterable[ProgramAccount]:
        """Programs whose tool returns about when their KV would be there again."""
        soon: list[ProgramAccount] = []
        while self._returns and self._returns[0][0] <= now_s:
            _, name = heapq.heappop(self._returns)
            program = ledger.programs.get(name)
            if program is not None and self._is_awaited(program):
                soon.append(program)
        return soon

    def prefetch_s(self, now_s: float) -> float:
        return self._returns[0][0] if self._returns else float("inf")

    def _is_awaited(self, program: ProgramAccount) -> bool:
        """Whether it has no KV and will ask when its tools are back."""
        return program.home is None and bool(program.tools) and not _is_done(program)

    def _await(self, program: ProgramAccount, ledger: Ledger, now_s: float) -> None:
        """Take note of when to restore its KV."""
        if self._is_awaited(program):
            back_s = ledger.returns_in_s(program, now_s) - 2 * self._restore_s(program)
            heapq.heappush(self._returns, (now_s + max(RECHECK_S, back_s), program.program))

    def _gain(self, replica: ReplicaAccount) -> float:
        """Engine seconds that one more call in the batch is worth per second.

        n calls make n tokens in tick_s + n * decode_s; this is the relative growth from n to
        n + 1, infinite for an engine that runs nothing.
        """
        tick_s, decode_s, num = self.costs.tick_s, self.costs.decode_s, replica.num_running
        if not num:
            return float("inf")
        return tick_s / (num * (tick_s + (num + 1) * decode_s)) if tick_s else 0.0

    def _restore_s(self, program: ProgramAccount) -> float:
        """What computing it anew costs, whether or not it can be read back."""
        return self.costs.restore_s(program.context_tokens, shared_tokens=program.prefix_tokens)

    def _call_s(self, call: CallAccount) -> float:
        return self.costs.call_s(
            new_tokens=call.new_tokens,
            context_tokens=call.context_tokens,
            output_tokens=call.expected_output_tokens,
        )


def _is_done(program: ProgramAccount) -> bool:
    """Whether it will ask no more: nothing is left to do, or no budget to do it."""
    if program.waiting:
        return False
    has_spent = program.budget_tokens is not None and program.spent_tokens >= program.budget_tokens
    return program.steps_left == 0 or has_spent

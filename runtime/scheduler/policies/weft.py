"""The default policy: uses all that a runtime of programs knows."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from weft.errors import InvalidRequest
from weft.runtime.scheduler.accounts import CallAccount, ProgramAccount, ReplicaAccount
from weft.runtime.scheduler.costs import Costs
from weft.runtime.scheduler.decisions import (
    Demote,
    Dispatch,
    Evict,
    Fact,
    Pause,
    Prefetch,
    Refuse,
)
from weft.runtime.scheduler.facts import CallAsked, CallCancelled, KvLost, ProgramEnded
from weft.runtime.scheduler.fair_shares import FairShares
from weft.runtime.scheduler.ledger import Ledger
from weft.runtime.scheduler.line import Place
from weft.runtime.scheduler.policy import SchedulingPolicy, Worth
from weft.runtime.scheduler.restore_credit import RestoreCredit

__all__ = ["WeftPolicy"]

CHECKS_PER_PATIENCE = 120
"""How often predictions are looked at again while calls wait: every 250 ms, if it is 30 s."""
SHORTEST_RECHECK_S = 20e-3
HOLDERS_PATIENCES = 5.0
"""By how many times the patience programs that hold KV go before others."""
LAG_PATIENCES = 20.0
"""By how many times the patience a call goes later at most for what its tenant was given."""
RELAXED_PATIENCES = 10.0
"""By how many times the patience others pass a program at most that has much time."""
LATE_SPANS = 3.0
"""After how many times the span that it was given a program goes which cannot make it."""
LATE_PATHS = 5.0
"""By how many times what is left of it: of those who are late, who has least left goes first."""
WORTH_OF_COMPANY = 0.1
"""Of what one more call in the batch wins at once: what it is worth, as it would win it later."""
RESTORING_SHARE = 0.01
"""Of a replica's time: what calls that lost patience may cost others."""
MOVING_SHARE = 0.2
"""Of what it takes to move KV out of the pool and back: what is paid for it, so moving may take
five times as much of the time as computing anew."""
HEADROOM_SHARE = 0.15
"""Of a replica: what programs that come in leave free for those inside to grow."""
HEADROOM_PER_NEWCOMER = 2.0
"""What is left free at most for each token that programs outside wait to take: where hardly anybody
waits, hardly anybody takes the room that somebody inside frees."""
HEADROOM_BESIDE_SPILL = 0.15
"""Of that headroom, where KV may be kept outside the pool, so that to lack room costs little."""


class WeftPolicy(SchedulingPolicy):
    """Every call has a virtual time of arrival in seconds; the earliest goes first.

    It is when the call was asked, made earlier by five times ``patience_s`` if its program holds
    KV (it ends soonest, and then frees it), later by what its tenant was given beyond its fair
    share, up to twenty times that, and by the critical path left, up to half of it, and earlier by
    ``patience_s`` for each level of priority. A deadline that can still be met puts it at six times
    ``patience_s`` before the latest time to begin the whole program, so before those who hold KV
    once that is near; who has much time is passed for ten times ``patience_s`` at most. Who cannot
    make it any more goes as if it had been asked three times its span after it arrived, later by
    five times what is left of it. Neither order sets a program back for having gone on: served in
    turns, all would miss together. As all these are bounded and time is not, everything ages.

    From a program that comes in, KV of an idle program is protected as long as having it again
    would cost the engine more than one more call in the batch is worth until the program returns;
    that is nothing where nothing runs, so no engine idles. Programs that come in leave some room
    for those inside to grow, the more the more wait to come in. Those inside are given all idle KV
    there but that of programs which wait themselves and come before them: else all could be inside,
    and none have room to go on. A call that has waited for ``patience_s`` is given KV that is
    protected too, but no more of it than a hundredth of the engine's time restores: else all would
    restore and none get on; of what is moved out and back a fifth counts. Room is kept for it
    meanwhile.

    Who gives up KV is who wins least by it: cost to have it again, times the chance to need it per
    second of holding it, per token. Where KV can be kept outside the pool it is demoted, which
    makes that cost small. A program whose KV is taken is held as long as it does not fit again. Of
    calls that share a prefix which nobody holds, one computes it first.
    """

    name = "weft"
    uses_costs = True
    pauses = True
    holders_pass = True
    demotes = True

    def __init__(
        self,
        costs: Costs | None = None,
        *,
        patience_s: float = 30.0,
        restoring_share: float = RESTORING_SHARE,
        headroom_share: float = HEADROOM_SHARE,
        worth_of_company: float = WORTH_OF_COMPANY,
    ) -> None:
        super().__init__(costs)
        if not 0 < patience_s < float("inf"):
            raise InvalidRequest(
                f"A patience of {patience_s!r} s.", remedy="Give a positive time, as 30 s."
            )
        shares = restoring_share, headroom_share, worth_of_company
        if not all(0 <= share <= 1 for share in shares) or not restoring_share:
            raise InvalidRequest(
                f"Shares of restoring, headroom and company are {shares!r}.",
                remedy="Give parts of one; restoring needs some, or calls may wait for ever.",
            )
        self.patience_s = patience_s
        self._every_s = max(SHORTEST_RECHECK_S, patience_s / CHECKS_PER_PATIENCE)
        self.values_last_s = 2 * self._every_s
        self._headroom_share = headroom_share
        self._worth_of_company = worth_of_company
        self._shares = FairShares(max_lag_s=LAG_PATIENCES * patience_s)
        self._credit = RestoreCredit(share=restoring_share, most_s=patience_s / 30)
        self._homes: dict[str, str] = {}
        """On which replica the programs are, or were demoted, whose KV is somewhere."""
        self._recheck_s = float("-inf")
        self._returns: list[tuple[float, str]] = []
        """When to read back the KV of which programs; only the last time of each counts."""
        self._return_s: dict[str, float] = {}

    def told(self, fact: Fact, ledger: Ledger) -> None:
        match fact:
            case CallAsked():
                self._shares.asked(ledger.calls[fact.call], self._call_s(ledger.calls[fact.call]))
            case Dispatch():
                self._shares.dispatched(fact.call)
                self._homes[fact.program] = fact.replica
            case Prefetch():
                self._homes[fact.program] = fact.replica
            case Demote():
                self._pay(ledger.programs[fact.program], fact.at_s)
                self._await(ledger.programs[fact.program], ledger, fact.at_s)
            case Pause() | Evict() | KvLost():
                self._pay(ledger.programs[fact.program], fact.at_s)
            case CallCancelled() | Refuse():
                self._shares.dropped(fact.call)
            case ProgramEnded():
                self._shares.ended(fact.program)
                self._homes.pop(fact.program, None)
                self._return_s.pop(fact.program, None)
            case _:
                pass

    def place(self, call: CallAccount, ledger: Ledger, now_s: float) -> Place:
        return self._place(call, now_s)

    def defers(self, call: CallAccount, replica: ReplicaAccount, now_s: float) -> bool:
        prefix = replica.prefixes.get(call.program.prefix)
        return prefix is not None and prefix.warmed_by is not None

    def headroom_tokens(self, replica: ReplicaAccount, ledger: Ledger) -> int:
        if not replica.num_running:
            return 0
        share = self._headroom_share
        share *= HEADROOM_BESIDE_SPILL if replica.spill_capacity_tokens else 1.0
        wanted = HEADROOM_PER_NEWCOMER * ledger.newcomer_tokens
        return int(min(share * replica.capacity_tokens, wanted))

    def keep_value(self, program: ProgramAccount, ledger: Ledger, now_s: float) -> Worth:
        if _is_done(program):
            return Worth(0.0)
        loss = self._return_cost_s(program) * ledger.return_rate(program, now_s)
        return Worth(loss / max(1, program.private_tokens), loss)

    def spill_value(self, program: ProgramAccount, ledger: Ledger, now_s: float) -> Worth:
        if _is_done(program):
            return Worth(0.0)
        loss = self._restore_s(program) * ledger.return_rate(program, now_s)
        return Worth(loss / max(1, program.private_tokens or program.spilled_tokens), loss)

    def protects(
        self, program: ProgramAccount, worth: Worth, call: CallAccount, now_s: float
    ) -> bool:
        home = program.home
        assert home is not None
        if call.program.home is home:
            return any(self._precedes(one, call, now_s) for one in program.waiting.values())
        has_waited = now_s - call.asked_s >= self.patience_s
        if has_waited and self._credit.is_left(home.replica, now_s):
            return False
        return worth.loss > self._worth_of_company * self._gain(home)

    def stirred(self, ledger: Ledger, now_s: float) -> Iterable[str]:
        if now_s < self._recheck_s:
            return ()
        self._recheck_s = now_s + self._every_s
        return [name for name, replica in ledger.replicas.items() if replica.idle]

    def wake_s(self, ledger: Ledger, now_s: float) -> float:
        has_idle = any(replica.idle for replica in ledger.replicas.values())
        return self._recheck_s if has_idle else float("inf")

    def prefetches(self, ledger: Ledger, now_s: float) -> Iterable[ProgramAccount]:
        """Programs whose tool returns about when their KV could be read back.

        None is computed ahead: until the tool returns, its room is often wanted again.
        """
        soon: list[ProgramAccount] = []
        while self._returns and self._returns[0][0] <= now_s:
            due_s, name = heapq.heappop(self._returns)
            is_last = self._return_s.get(name) == due_s
            program = ledger.programs.get(name)
            if program is not None and is_last and _is_awaited(program):
                del self._return_s[name]
                soon.append(program)
        return soon

    def prefetch_s(self, now_s: float) -> float:
        return self._returns[0][0] if self._returns else float("inf")

    def _precedes(self, one: CallAccount, other: CallAccount, now_s: float) -> bool:
        return self._place(one, now_s).key < self._place(other, now_s).key

    def _place(self, call: CallAccount, now_s: float) -> Place:
        program, left_s = call.program, call.program.seconds_left or 0.0
        later_s = self._shares.lag_s(call) - self.patience_s * program.priority
        at_s = call.asked_s + later_s + min(left_s, self.patience_s / 2)
        if program.home is not None:
            at_s -= HOLDERS_PATIENCES * self.patience_s
        if program.deadline_s is None:
            return Place((at_s,))
        latest_s = program.deadline_s - max(left_s, self._call_s(call))
        if now_s >= latest_s:
            span_s = max(0.0, program.deadline_s - program.arrived_s)
            late_s = LATE_SPANS * span_s + LATE_PATHS * left_s
            return Place((program.arrived_s + later_s + late_s,))
        pulled_s = latest_s - program.path_s - (HOLDERS_PATIENCES + 1) * self.patience_s
        return Place((min(at_s + RELAXED_PATIENCES * self.patience_s, pulled_s),), latest_s)

    def _await(self, program: ProgramAccount, ledger: Ledger, now_s: float) -> None:
        """It was demoted; take note of when to read its KV back."""
        if _is_awaited(program):
            back_s = ledger.returns_in_s(program, now_s) - 2 * self._return_cost_s(program)
            due_s = now_s + max(self._every_s, back_s)
            self._return_s[program.program] = due_s
            heapq.heappush(self._returns, (due_s, program.program))

    def _pay(self, program: ProgramAccount, now_s: float) -> None:
        """For what must be computed again: at once, or others would be given up on the same
        credit until it returns."""
        home = self._homes.pop(program.program, None)
        if home is not None and not _is_done(program):
            share = MOVING_SHARE if program.spilled_tokens else 1.0
            self._credit.pay(home, share * self._return_cost_s(program), now_s)

    def _gain(self, replica: ReplicaAccount) -> float:
        """Engine seconds that one more call in the batch is worth per second.

        n calls make n tokens in tick_s + n * decode_s, with contexts of the mean length held; this
        is the relative growth from n to n + 1, infinite for an engine that runs nothing.
        """
        tick_s, num = self.costs.tick_s, replica.num_running
        if not num:
            return float("inf")
        mean_tokens = replica.used_tokens / len(replica.residents)
        decode_s = self.costs.decode_s + self.costs.read_s * mean_tokens
        return tick_s / (num * (tick_s + (num + 1) * decode_s)) if tick_s else 0.0

    def _return_cost_s(self, program: ProgramAccount) -> float:
        """What it costs to have its KV again if it is given up now, or was."""
        restore_s, home = self._restore_s(program), program.home
        num_tokens = program.spilled_tokens if home is None else program.private_tokens
        is_kept = num_tokens > 0 if home is None else home.spill_capacity_tokens >= num_tokens
        if not is_kept:
            return restore_s
        return min(restore_s, (self.costs.spill_s + self.costs.load_s) * num_tokens)

    def _restore_s(self, program: ProgramAccount) -> float:
        """What computing it anew costs, whether or not it can be read back."""
        return self.costs.restore_s(program.context_tokens, shared_tokens=program.prefix_tokens)

    def _call_s(self, call: CallAccount) -> float:
        return self.costs.call_s(
            new_tokens=call.new_tokens,
            context_tokens=call.context_tokens,
            output_tokens=call.expected_output_tokens,
        )


def _is_awaited(program: ProgramAccount) -> bool:
    """Whether its KV is kept outside the pool and it will ask when its tools are back."""
    return program.spilled_to is not None and bool(program.tools) and not _is_done(program)


def _is_done(program: ProgramAccount) -> bool:
    """Whether it will ask no more: nothing is left to do, or no budget to do it."""
    if program.waiting:
        return False
    has_spent = program.budget_tokens is not None and program.spent_tokens >= program.budget_tokens
    return program.steps_left == 0 or has_spent

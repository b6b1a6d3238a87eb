"""Short stories told to a scheduler, and its decisions as short lines."""

from __future__ import annotations

from tests.support.accounts import check_accounts
from weft.runtime.scheduler import (
    CallAnswered,
    CallAsked,
    Costs,
    Decision,
    Demote,
    Dispatch,
    Evict,
    OutsideFact,
    Pause,
    Prefetch,
    ProgramArrived,
    ReplicaSized,
    Scheduler,
    SchedulingPolicy,
    ToolReturned,
    ToolStarted,
    make_policy,
)

__all__ = ["COSTS", "Story", "brief"]

COSTS = Costs(tick_s=0.01, decode_s=0.001, prefill_s=0.001, context_s=0.0)


def brief(decision: Decision) -> str:
    match decision:
        case Dispatch():
            return f"run {decision.call} on {decision.replica}"
        case Evict():
            return f"evict {decision.program}"
        case Demote():
            return f"demote {decision.program}"
        case Pause():
            return f"pause {decision.program}"
        case Prefetch():
            return f"prefetch {decision.program} on {decision.replica}"
        case _:
            return f"refuse {decision.call}"


class Story:
    """Programs ``a``, ``b``, … whose calls are ``a1``, ``a2``, …, on ``r`` of 1000 tokens."""

    def __init__(
        self,
        policy: SchedulingPolicy | str,
        *,
        capacity: int = 1000,
        max_calls: int = 8,
        spill: int = 0,
    ) -> None:
        chosen = make_policy(policy, COSTS) if isinstance(policy, str) else policy
        self.scheduler = Scheduler(chosen)
        self.tell(ReplicaSized(0.0, "r", capacity, max_calls, spill))

    def tell(self, *facts: OutsideFact) -> None:
        for fact in facts:
            self.scheduler.tell(fact)
            check_accounts(self.scheduler.ledger)

    def arrive(self, at_s: float, program: str, context: int, **about: object) -> None:
        """A program and its first call, whose output is expected to be 10 tokens."""
        self.tell(ProgramArrived(at_s, program, **about))  # type: ignore[arg-type]
        self.ask(at_s, f"{program}1", context, context)

    def ask(self, at_s: float, call: str, context: int, new: int) -> None:
        self.tell(CallAsked(at_s, call[0], call, context, new, 10))

    def answer(self, at_s: float, call: str, *, tool: str = "") -> None:
        context = self.scheduler.ledger.calls[call].context_tokens + 10
        self.tell(CallAnswered(at_s, call, 10, context))
        if tool:
            self.tell(ToolStarted(at_s, call[0], tool, f"{tool}-{call}"))

    def learn_tool(self, tool: str, *latencies_s: float) -> None:
        """Runs of a tool that nothing else shows."""
        for latency_s in latencies_s:
            self.scheduler.ledger.tool_times.add(tool, latency_s)

    def tool_returns(self, at_s: float, call: str, tool: str) -> None:
        self.tell(ToolReturned(at_s, call[0], f"{tool}-{call}"))

    def decide(self, at_s: float) -> list[str]:
        decisions = [brief(one) for one in self.scheduler.decide(at_s)]
        check_accounts(self.scheduler.ledger)
        return decisions

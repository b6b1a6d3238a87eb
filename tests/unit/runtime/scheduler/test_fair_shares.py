"""Fair shares against a naive model, and by hand."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

from weft.runtime.scheduler import fair_shares
from weft.runtime.scheduler.accounts import CallAccount, ProgramAccount, TenantAccount
from weft.runtime.scheduler.fair_shares import FairShares


def asked(tenant: str, name: str, *, program: str = "") -> CallAccount:
    account = ProgramAccount(
        program=program or f"of {name}",
        tenant=TenantAccount(tenant=tenant),
        priority=0,
        arrived_s=0.0,
        deadline_s=None,
        prefix="",
        prefix_tokens=0,
        budget_tokens=None,
        idle_since_s=0.0,
    )
    return CallAccount(
        call=name,
        ordinal=0,
        program=account,
        asked_s=0.0,
        context_tokens=10,
        new_tokens=10,
        expected_output_tokens=1,
        path_s=0.0,
    )


def test_a_burst_lags_call_by_call_and_who_comes_later_does_not() -> None:
    shares = FairShares(max_lag_s=100.0)
    greedy = [asked("greedy", name) for name in "abcd"]
    for call in greedy:
        shares.asked(call, 2.0)
    assert [shares.lag_s(call) for call in greedy] == [0.0] * 4, "a tenant alone has no lag"
    modest = asked("modest", "e")
    shares.asked(modest, 2.0)
    assert [shares.lag_s(call) for call in (*greedy, modest)] == [0.0, 2.0, 4.0, 6.0, 0.0]
    shares.dispatched("a")
    shares.dropped("b")
    late = asked("greedy", "f")
    shares.asked(late, 2.0)
    assert shares.lag_s(late) == 2.0 + 4.0, "what was given, and what still waits before it"


def test_what_was_not_asked_for_is_not_saved_up() -> None:
    shares = FairShares(max_lag_s=100.0)
    for number in range(5):
        shares.asked(asked("busy", f"a{number}"), 3.0)
        shares.dispatched(f"a{number}")
    waits = asked("busy", "b")
    shares.asked(waits, 3.0)
    shares.asked(asked("idle till now", "c"), 3.0)
    assert shares.lag_s(waits) == 0.0


def test_dispatch_out_of_turn_does_not_count_against_those_who_wait() -> None:
    """Those who hold KV pass: the lag of their tenant grows, nobody else's does."""
    shares = FairShares(max_lag_s=7.0)
    waits = asked("patient", "w")
    shares.asked(waits, 1.0)
    for number in range(20):
        shares.asked(asked("inside", f"a{number}"), 1.0)
        shares.dispatched(f"a{number}")
    again = asked("inside", "b")
    shares.asked(again, 1.0)
    assert shares.lag_s(waits) == 0.0
    assert shares.lag_s(again) == 7.0, "at most so much"


def test_calls_go_with_their_program_and_may_run_again() -> None:
    shares = FairShares(max_lag_s=100.0)
    for call in (asked("x", "a", program="p"), asked("x", "b", program="p"), asked("y", "c")):
        shares.asked(call, 5.0)
    shares.dispatched("a")
    shares.ended("p")
    shares.dispatched("a")  # its replica left, and it ran again
    shares.ended("p")
    after = asked("x", "d")
    shares.asked(after, 5.0)
    assert shares.lag_s(after) == 5.0


def test_tenants_who_are_ahead_of_nobody_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fair_shares, "MOST_TENANTS", 8)
    shares = FairShares(max_lag_s=100.0)
    shares.asked(asked("stays", "w"), 1.0)
    for number in range(100):
        shares.asked(asked(f"t{number}", f"c{number}"), 0.0)
        shares.dispatched(f"c{number}")
    assert len(shares) <= 10


@dataclass
class Naive:
    """Looks through all tenants and calls, each time."""

    given_s: dict[str, float]
    waiting: dict[str, tuple[str, float, float]]
    floor_s: float = 0.0

    def floor(self) -> float:
        tenants = {tenant for tenant, _, _ in self.waiting.values()}
        least = min((self.given_s[tenant] for tenant in tenants), default=self.floor_s)
        self.floor_s = max(self.floor_s, least)
        return self.floor_s

    def asked(self, call: CallAccount, cost_s: float) -> None:
        tenant, floor_s = call.program.tenant.tenant, self.floor()
        pending = [one for one in self.waiting.values() if one[0] == tenant]
        if not pending:
            self.given_s[tenant] = max(self.given_s.get(tenant, 0.0), floor_s)
        start_s = self.given_s[tenant] + sum(cost for _, cost, _ in pending)
        self.waiting[call.call] = tenant, cost_s, start_s

    def dispatched(self, name: str) -> None:
        tenant, cost_s, _ = self.waiting.pop(name)
        self.given_s[tenant] += cost_s

    def lag_s(self, call: CallAccount) -> float:
        if len(self.given_s) < 2:
            return 0.0
        return min(9.0, max(0.0, self.waiting[call.call][2] - self.floor()))


@pytest.mark.parametrize("seed", range(5))
def test_lags_are_those_of_the_naive_model(seed: int) -> None:
    rng = random.Random(seed)
    shares, naive = FairShares(max_lag_s=9.0), Naive({}, {})
    calls: dict[str, CallAccount] = {}
    for number in range(300):
        name = f"c{number}"
        calls[name] = call = asked(rng.choice("xyz"), name)
        cost_s = rng.randrange(1, 5) / 4
        shares.asked(call, cost_s)
        naive.asked(call, cost_s)
        while naive.waiting and rng.random() < 0.5:
            name = rng.choice(sorted(naive.waiting))
            if rng.random() < 0.2:
                shares.dropped(name)
                del naive.waiting[name]
            else:
                shares.dispatched(name)
                naive.dispatched(name)
        for name in naive.waiting:
            assert shares.lag_s(calls[name]) == naive.lag_s(calls[name])

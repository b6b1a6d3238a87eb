"""What the running sums of a Ledger must be at any moment."""

from __future__ import annotations

from weft.runtime.scheduler.accounts import ProgramAccount, ReplicaAccount
from weft.runtime.scheduler.ledger import Ledger

__all__ = ["check_accounts"]


def check_accounts(ledger: Ledger) -> None:
    """Assert that every running sum is the sum of its parts, computed anew."""
    for replica in ledger.replicas.values():
        _check_replica(replica)
    for program in ledger.programs.values():
        assert program.room_tokens == sum(call.room_tokens for call in program.running.values())
        assert program.private_tokens >= 0 and not (program.is_paused and program.running)
        assert program.home is not None or not program.running
        assert program.newcomer_tokens == _newcomer_tokens(program)
    assert ledger.newcomer_tokens == sum(map(_newcomer_tokens, ledger.programs.values()))
    num_calls = sum(len(one.waiting) + len(one.running) for one in ledger.programs.values())
    assert num_calls == len(ledger.calls)


def _check_replica(replica: ReplicaAccount) -> None:
    residents = replica.residents.values()
    assert replica.private_tokens == sum(one.private_tokens for one in residents)
    assert replica.num_running == sum(len(one.running) for one in residents)
    assert replica.prefix_tokens == sum(one.num_tokens for one in replica.prefixes.values())
    assert set(replica.idle) == {one.program for one in residents if not one.running}
    assert replica.idle_tokens == sum(one.private_tokens for one in replica.idle.values())
    spilled = replica.spilled.values()
    assert replica.spilled_tokens == sum(one.spilled_tokens for one in spilled)
    assert all(one.spilled_to is replica and one.home is None for one in spilled)
    for name, prefix in replica.prefixes.items():
        assert prefix.num_sharers == sum(one.prefix == name for one in residents)


def _newcomer_tokens(program: ProgramAccount) -> int:
    """Of a program that holds nothing, the least that the largest call it waits with takes."""
    sizes = [call.history_tokens + call.room_tokens for call in program.waiting.values()]
    holds_nothing = program.home is None
    return max(sizes) - program.prefix_tokens if sizes and holds_nothing else 0

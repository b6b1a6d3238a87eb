"""How accounts change when KV and lanes of a replica are taken and given back.

Every function keeps the running sums of both sides; none looks at more than what it changes.
"""

from __future__ import annotations

from weft.runtime.scheduler.accounts import (
    CallAccount,
    PrefixAccount,
    ProgramAccount,
    ReplicaAccount,
)

__all__ = [
    "charge_room",
    "resize",
    "settle",
    "spill",
    "start_call",
    "stop_call",
    "unspill",
    "vacate",
    "warm",
]


def settle(program: ProgramAccount, replica: ReplicaAccount, num_tokens: int, now_s: float) -> None:
    """The program's history lies on the replica from now on, at least so many tokens of it."""
    assert program.home in (None, replica), "a program lives on one replica at a time"
    if program.home is None:
        unspill(program)
        program.home = replica
        replica.residents[program.program] = program
        _share_prefix(program, replica)
        program.idle_since_s = now_s
        replica.idle[program.program] = program
        program.resident_tokens = program.prefix_tokens
    resize(program, max(num_tokens, program.resident_tokens))


def resize(program: ProgramAccount, num_tokens: int) -> None:
    """The history held is so many tokens: newer turns supersede older ones."""
    assert program.home is not None
    grown = num_tokens - program.resident_tokens
    program.resident_tokens = num_tokens
    program.home.private_tokens += grown
    if program.program in program.home.idle:
        program.home.idle_tokens += grown


def vacate(program: ProgramAccount) -> None:
    """Nothing of an idle program is held any more."""
    replica = program.home
    assert replica is not None and not program.running, "only idle programs are moved out"
    replica.private_tokens -= program.private_tokens
    replica.idle_tokens -= program.private_tokens
    program.home = None
    program.resident_tokens = 0
    del replica.residents[program.program]
    del replica.idle[program.program]
    _unshare_prefix(program, replica)


def spill(program: ProgramAccount) -> None:
    """What an idle program alone holds is kept outside the KV pool."""
    replica, num_tokens = program.home, program.private_tokens
    vacate(program)
    assert replica is not None
    program.spilled_to, program.spilled_tokens = replica, num_tokens
    replica.spilled[program.program] = program
    replica.spilled_tokens += num_tokens


def unspill(program: ProgramAccount) -> None:
    """Nothing of a program is kept outside the KV pool any more, if anything was."""
    replica = program.spilled_to
    if replica is not None:
        replica.spilled_tokens -= program.spilled_tokens
        del replica.spilled[program.program]
        program.spilled_to, program.spilled_tokens = None, 0


def start_call(call: CallAccount, replica: ReplicaAccount, now_s: float) -> None:
    program = call.program
    was_shared = program.prefix in replica.prefixes
    settle(program, replica, call.history_tokens, now_s)
    if program.prefix and not was_shared:
        replica.prefixes[program.prefix].warmed_by = call.call
    call.replica, call.dispatched_s = replica, now_s
    del program.waiting[call.call]
    program.running[call.call] = call
    program.is_paused = False
    if replica.idle.pop(program.program, None) is not None:
        replica.idle_tokens -= program.resident_tokens - program.prefix_tokens
    replica.num_running += 1
    charge_room(call, call.room_tokens)


def stop_call(call: CallAccount, now_s: float) -> None:
    """Take a call from its replica; what it computed of the prompt's history stays."""
    program, replica = call.program, call.replica
    assert replica is not None
    charge_room(call, -call.room_tokens)
    warm(call)
    replica.num_running -= 1
    del program.running[call.call]
    call.replica = None
    if not program.running:
        program.idle_since_s = now_s
        replica.idle[program.program] = program
        replica.idle_tokens += program.private_tokens


def warm(call: CallAccount) -> None:
    """The call's prompt is computed (or nobody computes it any more)."""
    call.is_prefilled = True
    prefix = call.replica.prefixes.get(call.program.prefix) if call.replica else None
    if prefix is not None and prefix.warmed_by == call.call:
        prefix.warmed_by = None


def charge_room(call: CallAccount, num_tokens: int) -> None:
    assert call.replica is not None
    call.program.room_tokens += num_tokens
    call.replica.private_tokens += num_tokens
    assert call.replica.private_tokens >= 0


def _share_prefix(program: ProgramAccount, replica: ReplicaAccount) -> None:
    if not program.prefix:
        return
    prefix = replica.prefixes.get(program.prefix)
    if prefix is None:
        prefix = PrefixAccount(num_tokens=program.prefix_tokens)
        replica.prefixes[program.prefix] = prefix
        replica.prefix_tokens += prefix.num_tokens
    prefix.num_sharers += 1


def _unshare_prefix(program: ProgramAccount, replica: ReplicaAccount) -> None:
    if not program.prefix:
        return
    prefix = replica.prefixes[program.prefix]
    prefix.num_sharers -= 1
    if not prefix.num_sharers:
        del replica.prefixes[program.prefix]
        replica.prefix_tokens -= prefix.num_tokens

"""The ledger's sums, recomputed from all facts each time: its oracle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from weft.runtime.scheduler import Demote, Dispatch, Evict, Pause, Prefetch
from weft.runtime.scheduler import facts as f
from weft.runtime.scheduler.decisions import Fact

__all__ = ["NaiveSums", "recompute"]


class NaiveSums(NamedTuple):
    used: dict[str, int]
    """KV tokens by replica."""
    spilled: dict[str, int]
    """KV tokens kept beside each replica's pool."""
    running: dict[str, set[str]]
    """Calls by replica."""
    waiting: set[str]


def recompute(facts: Sequence[Fact]) -> NaiveSums:
    """For programs with one call at a time, whose outputs are as expected."""
    ended = {fact.program for fact in facts if isinstance(fact, f.ProgramEnded)}
    arrived = [fact for fact in facts if isinstance(fact, f.ProgramArrived)]
    replicas = [fact.replica for fact in facts if isinstance(fact, f.ReplicaSized)]
    sums = NaiveSums(
        dict.fromkeys(replicas, 0),
        dict.fromkeys(replicas, 0),
        {name: set[str]() for name in replicas},
        set(),
    )
    prefixes: dict[str, set[tuple[str, int]]] = {name: set() for name in replicas}
    for program in arrived:
        if program.program not in ended:
            _add(sums, prefixes, program, [x for x in facts if _is_about(x, program.program)])
    for name, held in prefixes.items():
        sums.used[name] += sum(size for _, size in held)
    return sums


def _is_about(fact: Fact, program: str) -> bool:
    name = getattr(fact, "program", None) or str(getattr(fact, "call", "")).rpartition("/")[0]
    return name == program


def _add(
    sums: NaiveSums,
    prefixes: dict[str, set[tuple[str, int]]],
    program: f.ProgramArrived,
    facts: Sequence[Fact],
) -> None:
    life = _walk(program, facts)
    own_tokens = life.tokens - program.prefix_tokens
    sums.waiting.update(life.asked)
    if life.beside:
        sums.spilled[life.beside] += own_tokens
    if life.home:
        sums.used[life.home] += own_tokens
        if program.prefix:
            prefixes[life.home].add((program.prefix, program.prefix_tokens))
        if life.running:
            sums.running[life.home].add(life.running)


class _Life(NamedTuple):
    home: str
    beside: str
    tokens: int
    running: str
    asked: dict[str, f.CallAsked]


def _walk(program: f.ProgramArrived, facts: Sequence[Fact]) -> _Life:
    """Where a program lies in the end, how many tokens, what runs and waits."""
    home, beside, running = "", "", ""
    tokens = context = program.prefix_tokens
    asked: dict[str, f.CallAsked] = {}
    for fact in facts:
        match fact:
            case f.CallAsked():
                asked[fact.call] = fact
            case Dispatch():
                call = asked.pop(fact.call)
                home, running, beside = fact.replica, fact.call, ""
                tokens = call.context_tokens + call.expected_output_tokens
            case f.CallAnswered():
                running, tokens, context = "", fact.context_tokens, fact.context_tokens
            case Demote():
                home, beside = "", fact.replica
            case Evict() | Pause():
                home, beside, tokens = "", "", 0
            case Prefetch():
                home, beside, tokens = fact.replica, "", context
            case _:
                pass
    return _Life(home, beside, tokens, running, asked)

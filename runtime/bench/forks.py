"""A fork of 8 from a long context and its join: by keys and values, by text, and by neither."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from weft.errors import EngineError
from weft.runtime.bench.checkpoint import M197, write_checkpoint
from weft.runtime.bench.contender import Contender, own_environment, start, vllm_contenders
from weft.runtime.bench.driver import Driver
from weft.runtime.bench.findings import Findings
from weft.runtime.bench.fork_field import FORK, MAX_CONTEXT, PEER, WAYS, ForkField
from weft.runtime.bench.forked import Took
from weft.runtime.bench.interleave import median_ratio
from weft.runtime.bench.options import BenchOptions

__all__ = ["bench_forks", "race_forks"]

SERVER = "fork8_vs_vllm: a server does not say which tokens it wrote; name an environment"


def bench_forks(findings: Findings, options: BenchOptions, until: float) -> None:
    """A context of 4096 tokens that nobody has computed yet, 8 branches of 64 tokens behind heads
    of 4, a join of 64 more behind a head of 4; greedily, on a random 197M-parameter model. Every
    contender has the same token ids, a process of its own, and memory for all that it keeps.

    - ``shared``: weft. 8 Requests at once, which compute the context once and share its memory,
      then a join that sees the branches by the keys and values they have.
    - ``text``: the same 8 Requests, and a join by text, whose prompt is the context and all that
      the branches hold: computed anew from the second branch on, as prefix caching allows.
    - ``separate``: weft with prefix sharing off. The same 8 Requests at once, each computing its
      own context in batches with the others, and the join's prompt computed whole.
    - ``vllm``: vLLM with prefix caching: 8 prompts in one call, which share what is cached, then
      the join by text. Where the processor only emulates bfloat16 it runs in float32, which is
      several times as fast with prompts; in full both are tried, and the faster one races.

    Figures: ``fork8_speedup`` is the time of ``separate`` over that of ``shared``,
    ``fork8_vs_text`` and ``fork8_vs_vllm`` likewise; ``fork8_ms_…`` are medians of a whole fork,
    ``fork8_branches_ms_…`` until its last branch has ended, ``fork8_join_ms_…`` of the join alone.

    No round begins that would end after ``until``, of ``time.monotonic``, but the first. Raises
    PeerFailed when weft's own side fails, EngineError where its branches differ by the way.
    """
    contenders = [
        Contender(
            kind=way,
            script="weft_fork_driver.py",
            dtype="auto",
            env=own_environment(),
            arguments=(way,),
        )
        for way in WAYS
    ]
    peers, missing = vllm_contenders(options)
    if any(peer.arguments for peer in peers):
        peers, missing = [], [SERVER]
    findings.missing += missing
    if not options.is_full:
        peers = peers[-1:]  # the one whose dtype is not emulated
    with tempfile.TemporaryDirectory(prefix="weft-bench-") as place:
        shape = replace(M197, max_context=MAX_CONTEXT)
        folder = write_checkpoint(Path(place) / "m197", shape, seed=options.seed)
        race_forks(findings, options, [*contenders, *peers], folder, until)


def race_forks(
    findings: Findings,
    options: BenchOptions,
    contenders: Sequence[Contender],
    folder: Path,
    until: float,
    *,
    start: Callable[[Contender], Driver] = start,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """The bench on the model in ``folder``; ``until`` is of ``clock``."""
    with closing(ForkField(findings, options, start)) as field:
        field.load(contenders, folder)
        if not field.sees_branches:
            findings.missing.append("fork8: the model's path here does not join branches")
            return
        field.choose()
        took = field.race(_RoundsUntil(until, clock))
    _check_same(took)
    _note(findings, took, options.rounds)


class _RoundsUntil:
    """Says whether one more round as long as the last one would end in time."""

    def __init__(self, until: float, clock: Callable[[], float]) -> None:
        self._until = until
        self._clock = clock
        self._begun = clock()

    def __call__(self) -> bool:
        now = self._clock()
        length, self._begun = now - self._begun, now
        return now + length <= self._until


def _check_same(took: Mapping[str, Sequence[Took]]) -> None:
    """A branch says the same however its context was computed, or the ways are no equals."""
    said = {way: [one.tokens[:-1] for one in took[way]] for way in WAYS}
    for way in WAYS:
        if said[way] != said[WAYS[0]]:
            raise EngineError(
                f"Branches of {way!r} say something else than those of {WAYS[0]!r}.",
                remedy="Report it: equal prompts must give equal tokens.",
            )


def _note(findings: Findings, took: Mapping[str, Sequence[Took]], num_asked: int) -> None:
    totals = {name: [one.total_s for one in rounds] for name, rounds in took.items()}
    num_rounds = len(totals["shared"])

    def note(what: str, value: float, peer: str = "") -> None:
        findings.note(f"fork8_{what}", value, num_rounds=num_rounds, num_asked=num_asked, peer=peer)

    note("speedup", median_ratio(totals, "separate", "shared"))
    note("vs_text", median_ratio(totals, "text", "shared"))
    for name in took:
        peer, label = ("", name) if name in WAYS else (name, PEER)
        if peer:
            note("vs_vllm", median_ratio(totals, name, "shared"), peer)
        parts = {
            "ms": totals[name],
            "branches_ms": [one.branches_s for one in took[name]],
            "join_ms": [one.join_s for one in took[name]],
        }
        for what, seconds in parts.items():
            note(f"{what}_{label}", 1e3 * statistics.median(seconds), peer)
        findings.rows.append(
            {
                "what": f"a fork of {FORK.num_branches}, {name}",
                "num_rounds": num_rounds,
                "median_ms": 1e3 * statistics.median(totals[name]),
                "lowest_ms": 1e3 * min(totals[name]),
                "highest_ms": 1e3 * max(totals[name]),
            }
        )

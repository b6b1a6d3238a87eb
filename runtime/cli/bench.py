"""`weft bench`: run one bench, show its figures."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from weft.errors import CallerError
from weft.runtime.bench import BenchOptions, BenchReport, bench_names, render_table, run_bench
from weft.runtime.bench.options import parse_peer
from weft.runtime.cli.problem import closest

__all__ = ["BenchRequest", "show_bench"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchRequest:
    """What ``weft bench`` was asked."""

    words: Sequence[str]
    """A bench's name and, with ``as_json``, a file for the report; none lists the benches."""
    peers: Sequence[str] = ()
    """``KIND=URL`` each."""
    is_full: bool = False
    num_rounds: int | None = None
    models: Sequence[str] = ()
    workloads: Sequence[str] = ()
    seed: int = 0
    as_json: bool = False


def show_bench(asked: BenchRequest) -> None:
    """Measure and print. Raises CallerError, EngineError."""
    if not asked.words:
        print("\n".join(bench_names()))
        return
    name, file = _name_and_file(asked)
    options = BenchOptions(
        peers=dict(parse_peer(peer) for peer in asked.peers),
        is_full=asked.is_full,
        num_rounds=asked.num_rounds,
        models=tuple(asked.models),
        workloads=tuple(asked.workloads),
        seed=asked.seed,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    _present(run_bench(name, options), file, as_json=asked.as_json)


def _present(report: BenchReport, file: Path | None, *, as_json: bool) -> None:
    if as_json and file is None:
        print(report.to_json())
        return
    print(render_table(report))
    if file is not None:
        file.write_text(report.to_json() + "\n", encoding="utf-8")


def _name_and_file(asked: BenchRequest) -> tuple[str, Path | None]:
    """Which word is the bench: ``--json FILE`` may stand before or after it."""
    known = bench_names()
    names = [word for word in asked.words if word in known]
    others = [word for word in asked.words if word not in known]
    if len(names) != 1:
        wrong = others[0] if others else names[0]
        what = f"There is no bench {wrong!r}." if others else "One bench at a time."
        raise CallerError(what, remedy=closest(wrong, known))
    if others and not (asked.as_json and len(others) == 1):
        raise CallerError(
            f"weft bench got {others!r} besides {names[0]!r}.",
            remedy="Write weft bench NAME [--json [FILE]].",
        )
    file = Path(others[0]) if others else None
    if file is not None and not file.absolute().parent.is_dir():
        raise CallerError(f"There is no folder for {str(file)!r}.", remedy="Make it first.")
    return names[0], file

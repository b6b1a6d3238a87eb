"""`weft runs`: what a store remembers of earlier Runs."""

from __future__ import annotations

import asyncio
import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from weft.errors import CallerError
from weft.programs.token_tree import TokenNode, TokenTree
from weft.runtime.cli.problem import closest
from weft.runtime.cli.report import print_json
from weft.runtime.cli.stores import opened_store
from weft.runtime.journal.record import RunRecord, StepRecord
from weft.runtime.journal.store import Store
from weft.runtime.journal.trajectories import tree_of

__all__ = [
    "RecordedRun",
    "find_run",
    "list_runs",
    "print_run",
    "print_runs",
    "print_tree",
    "run_as_json",
    "runs_as_json",
    "show_run",
    "show_tree",
]

MAX_SEARCHED = 1000
"""Newest Runs among which an abbreviated id is looked for."""
SHORT_ID = 12
"""Characters of a run's id that a listing shows; ``weft runs show`` takes as much."""
STYLES = {"finished": "green", "failed": "red", "cancelled": "yellow"}


class RecordedRun(NamedTuple):
    """A Run and its Steps by the time they started."""

    run: RunRecord
    steps: Sequence[StepRecord]


def list_runs(store: str, limit: int, *, as_json: bool) -> None:
    """Print the newest Runs of the store at a URL. Raises CallerError, JournalError."""

    async def read() -> Sequence[RunRecord]:
        async with opened_store(store, must_exist=True) as opened:
            return await opened.runs(limit)

    runs = asyncio.run(read())
    if as_json:
        print_json(runs_as_json(runs))
    else:
        print_runs(runs, Console())


def show_run(store: str, run_id: str, *, as_json: bool) -> None:
    """Print one Run of the store at a URL. Raises CallerError, JournalError."""
    recorded = asyncio.run(_read(store, run_id))
    if as_json:
        print_json(run_as_json(recorded))
    else:
        print_run(recorded, Console())


def show_tree(store: str, run_id: str, *, as_json: bool) -> None:
    """Print what one Run generated as a token tree. Raises CallerError, JournalError."""
    tree = tree_of(asyncio.run(_read(store, run_id)).steps)
    if as_json:
        print(tree.to_json())
    else:
        print_tree(tree, Console())


async def _read(store: str, run_id: str) -> RecordedRun:
    async with opened_store(store, must_exist=True) as opened:
        return await find_run(opened, run_id)


async def find_run(store: Store, run_id: str) -> RecordedRun:
    """The Run with that id or the only one whose id starts so. Raises CallerError."""
    run = await store.run(run_id) or await _by_prefix(store, run_id)
    return RecordedRun(run, await store.steps(run.run_id))


async def _by_prefix(store: Store, prefix: str) -> RunRecord:
    known = await store.runs(MAX_SEARCHED)
    found = [run for run in known if run.run_id.startswith(prefix)]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(run.run_id for run in found[:5])
        raise CallerError(f"{len(found)} runs start with {prefix!r}: {ids}.", remedy="Write more.")
    remedy = closest(prefix, [run.run_id for run in known]) or "The store is empty."
    raise CallerError(f"There is no run {prefix!r}.", remedy=remedy)


def print_runs(runs: Sequence[RunRecord], console: Console) -> None:
    if not runs:
        console.print("No runs yet.")
        return
    table = Table("run", "program", "status", "started", "seconds", box=None, padding=(0, 1))
    for run in runs:
        seconds = f"{run.ended_at - run.started_at:.1f}" if run.ended_at is not None else ""
        table.add_row(
            run.run_id[:SHORT_ID], _name(run), _status(run.status), _when(run.started_at), seconds
        )
    console.print(table)


def print_run(recorded: RecordedRun, console: Console) -> None:
    run, steps = recorded
    console.print(f"[bold]{_name(run)}[/bold] {run.run_id} {_status(run.status)}")
    console.print(f"started {_when(run.started_at)}, seed {run.seed}", highlight=False)
    console.print("input", escape(run.input_json), highlight=False)
    console.print(_tree(steps))
    if run.output_json is not None:
        console.print("output", escape(run.output_json), highlight=False)
    if run.error:
        console.print(f"[red]error[/red] {escape(run.error)}", highlight=False)


def print_tree(tree: TokenTree, console: Console) -> None:
    """The nodes below what they follow; one behind a join stands below the first of its parents."""
    console.print(f"{tree.num_generated_tokens} of {tree.num_tokens} tokens generated")
    root = Tree("nodes", hide_root=True)
    twigs: list[Tree] = []
    for number, node in enumerate(tree.nodes):
        above = twigs[node.parents[0]] if node.parents else root
        twigs.append(above.add(_node_line(number, node), highlight=False))
    console.print(root)


def _node_line(number: int, node: TokenNode) -> str:
    line = f"{number} {len(node.tokens)} tokens"
    if len(node.parents) > 1:
        line += f" behind {', '.join(map(str, node.parents))} {node.placing}"
    return f"{line} [dim]{escape(', '.join(node.sources))}[/dim]"


def runs_as_json(runs: Sequence[RunRecord]) -> dict[str, object]:
    return {"runs": [_run_json(run) for run in runs]}


def run_as_json(recorded: RecordedRun) -> dict[str, object]:
    return {
        **_run_json(recorded.run),
        "steps": [_opened(asdict(step)) for step in recorded.steps],
    }


def _run_json(run: RunRecord) -> dict[str, object]:
    return _opened(asdict(run))


def _opened(record: Mapping[str, object]) -> dict[str, object]:
    """A record with its ``…_json`` texts as the data they hold."""
    opened: dict[str, object] = {}
    for name, value in record.items():
        if name.endswith("_json"):
            opened[name.removesuffix("_json")] = (
                json.loads(value) if isinstance(value, str) else None
            )
        else:
            opened[name] = value
    return opened


def _tree(steps: Sequence[StepRecord]) -> Tree:
    known = {step.lineage for step in steps}
    children: dict[str, list[StepRecord]] = {}
    for step in steps:
        children.setdefault(step.parent if step.parent in known else "", []).append(step)
    root = Tree("steps", hide_root=True)
    pending = [(root, step) for step in reversed(children.get("", []))]
    while pending:
        branch, step = pending.pop()
        twig = branch.add(_step_line(step), highlight=False)
        pending += [(twig, child) for child in reversed(children.get(step.lineage, []))]
    return root


def _step_line(step: StepRecord) -> str:
    usage = step.usage
    line = f"{escape(step.name)} [dim]{step.kind} {step.lineage}[/dim] {_status(step.status)}"
    if usage.num_generated_tokens:
        line += f" {usage.num_generated_tokens} tokens"
    if step.num_attempts > 1:
        line += f" {step.num_attempts} attempts"
    return f"{line} {usage.seconds:.2f} s"


def _name(run: RunRecord) -> str:
    """The program without its module, which for a file is a made-up name."""
    return escape(run.program.rpartition(":")[2])


def _status(status: str) -> str:
    style = STYLES.get(status, "cyan")
    return f"[{style}]{status}[/{style}]"


def _when(seconds: float) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC).astimezone()
    return moment.strftime("%Y-%m-%d %H:%M:%S")

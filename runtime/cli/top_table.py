"""A Snapshot for people: a screenful, or one line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console, Group, JustifyMethod, OverflowMethod, RenderableType
from rich.table import Table
from rich.text import Text

from weft.runtime.dispatch import ProgramSnapshot, ReplicaSnapshot, Snapshot
from weft.runtime.observe.text import one_line, program_name

__all__ = ["brief", "duration", "screenful"]

BAR_WIDTH = 24
NARROW, MEDIUM = 80, 110
"""Terminals below these widths get fewer columns."""
STYLES = {"generating": "green", "waiting": "yellow", "paused": "red", "acting": "cyan"}


@dataclass(frozen=True, slots=True)
class _Column:
    title: str
    cell: Callable[[ProgramSnapshot], str]
    is_number: bool = False
    from_width: int = 0
    """Left out of narrower terminals."""


def screenful(snapshot: Snapshot, console: Console) -> RenderableType:
    """Totals, a bar for each replica, and as many programs as there are lines left."""
    head = [*_head(snapshot), *(_bar(one, console) for one in snapshot.replicas)]
    num_rows = max(1, console.height - len(head) - 4)
    rows = snapshot.programs[:num_rows]
    lines: list[RenderableType] = [_fitted(line, console) for line in head]
    if rows:
        lines += [Text(), _table(rows, console)]
    num_hidden = snapshot.num_programs - len(rows)
    if num_hidden:
        lines.append(Text(f"{num_hidden} more", style="dim"))
    return Group(*lines)


def brief(snapshot: Snapshot) -> str:
    """One line for logs and pipes."""
    used = ", ".join(
        f"KV {one_line(one.replica)} {_share(one.used_tokens, one.capacity_tokens)}"
        for one in snapshot.replicas
    )
    rates = f"{snapshot.hit_rate:.0%} cached, {snapshot.tokens_per_s:.0f} tok/s"
    parts = (_programs(snapshot), used, _queue(snapshot), rates, _decisions(snapshot))
    return f"{snapshot.open_s:8.1f}s  " + "; ".join(part for part in parts if part)


def duration(seconds: float) -> str:
    """Two units at most; tenths of a second below ten."""
    if seconds < 0:
        return f"-{duration(-seconds)}"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02}m"


def _head(snapshot: Snapshot) -> list[Text]:
    title = Text(f"weft top  {one_line(snapshot.engine)}", style="bold")
    title.append(
        f"  process {snapshot.pid}, policy {one_line(snapshot.policy)}, "
        f"{duration(snapshot.open_s)}",
        style="not bold",
    )
    rates = (
        f"{snapshot.tokens_per_s:.0f} tok/s, {snapshot.num_generated_tokens} generated, "
        f"KV hit rate {snapshot.hit_rate:.0%}"
    )
    state = Text(f"{_programs(snapshot)}; {_queue(snapshot)}")
    return [title, state, Text(f"{rates}; {_decisions(snapshot) or 'nothing given up'}")]


def _programs(snapshot: Snapshot) -> str:
    counts = [f"{number} {phase}" for phase, number in snapshot.num_by_phase.items() if number]
    number = snapshot.num_programs
    total = f"{number} program{'' if number == 1 else 's'}"
    return f"{total}: {', '.join(counts)}" if counts else total


def _queue(snapshot: Snapshot) -> str:
    if not snapshot.num_waiting:
        return "no queue"
    return f"queue {snapshot.num_waiting}, oldest {duration(snapshot.oldest_wait_s)}"


def _decisions(snapshot: Snapshot) -> str:
    done = snapshot.decisions
    counts = (
        (done.num_evictions, "evicted"),
        (done.num_demotions, "demoted"),
        (done.num_pauses, "paused"),
        (done.num_prefetches, "prefetched"),
        (done.num_refusals, "refused"),
        (snapshot.num_preemptions, "preempted"),
    )
    return ", ".join(f"{number} {word}" for number, word in counts if number)


def _bar(replica: ReplicaSnapshot, console: Console) -> Text:
    full, empty = ("█", "░") if _has_unicode(console) else ("#", ".")
    share = min(1.0, replica.used_tokens / replica.capacity_tokens)
    num_full = round(share * BAR_WIDTH)
    line = Text(f"KV {one_line(replica.replica)} ")
    line.append(full * num_full, style="red" if share > 0.95 else "green")
    line.append(empty * (BAR_WIDTH - num_full), style="dim")
    line.append(
        f" {_share(replica.used_tokens, replica.capacity_tokens)} of "
        f"{replica.capacity_tokens} tok, {replica.num_running}/{replica.max_running} running"
    )
    if replica.spill_capacity_tokens:
        taken = _share(replica.spilled_tokens, replica.spill_capacity_tokens)
        line.append(f", demoted {replica.spilled_tokens} tok ({taken} of room)")
    return line


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}"


def _fitted(line: Text, console: Console) -> Text:
    line.truncate(console.width, overflow="ellipsis" if _has_unicode(console) else "crop")
    line.no_wrap = True
    return line


def _has_unicode(console: Console) -> bool:
    return console.encoding.startswith("utf")


def _table(rows: tuple[ProgramSnapshot, ...], console: Console) -> Table:
    width = console.width
    overflow: OverflowMethod = "ellipsis" if _has_unicode(console) else "crop"
    columns = [one for one in COLUMNS if one.from_width <= width]
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", width=width)
    for column in columns:
        justify: JustifyMethod = "right" if column.is_number else "left"
        table.add_column(column.title, justify=justify, no_wrap=True, overflow=overflow)
    for row in rows:
        style = STYLES.get(row.phase, "dim")
        cells = [Text(one.cell(row), style if one.title == "PHASE" else "") for one in columns]
        table.add_row(*cells)
    return table


def _name(row: ProgramSnapshot) -> str:
    return program_name(row.path) if row.path else "(request)"


def _steps(row: ProgramSnapshot) -> str:
    return f"{row.steps_done}" if row.steps_left is None else f"{row.steps_done}+{row.steps_left}"


def _calls(row: ProgramSnapshot) -> str:
    return f"{row.num_running}/{row.num_running + row.num_waiting}"


def _deadline(row: ProgramSnapshot) -> str:
    return "" if row.deadline_left_s is None else duration(row.deadline_left_s)


def _tools(row: ProgramSnapshot) -> str:
    def named(number: int) -> str:
        return "" if number == 1 else f"*{number}"

    listed = [
        f"{one_line(one.tool)}{named(one.num_running)} {duration(one.longest_s)}"
        for one in row.tools
    ]
    num_more = row.num_tools - sum(one.num_running for one in row.tools)
    return ", ".join([*listed, f"{num_more} more"] if num_more else listed)


COLUMNS: Sequence[_Column] = (
    _Column("RUN", lambda row: one_line(row.run_id)[:8]),
    _Column("PROGRAM", _name),
    _Column("TENANT", lambda row: one_line(row.tenant), from_width=MEDIUM),
    _Column("PHASE", lambda row: row.phase),
    _Column("FOR", lambda row: duration(row.phase_s), is_number=True),
    _Column("KV", lambda row: str(row.kv_tokens), is_number=True),
    _Column("DEMOTED", lambda row: str(row.demoted_tokens), is_number=True, from_width=MEDIUM),
    _Column("ON", lambda row: one_line(row.replica or ""), from_width=MEDIUM),
    _Column("CALLS", _calls, is_number=True, from_width=NARROW),
    _Column("STEPS", _steps, is_number=True, from_width=NARROW),
    _Column("SERVED", lambda row: duration(row.attained_s), is_number=True, from_width=MEDIUM),
    _Column("LEFT", _deadline, is_number=True, from_width=NARROW),
    _Column("TOOLS", _tools),
)

"""`weft top`: what the programs of another process do, as they do it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from rich.console import Console
from rich.live import Live

from weft.errors import CallerError, WeftError
from weft.runtime.cli.top_table import brief, screenful
from weft.runtime.dispatch import Snapshot
from weft.runtime.monitor import MonitorAddress, find_monitors, watch
from weft.runtime.observe.text import one_line

__all__ = ["TopOptions", "show_top"]


DESCRIBED_S = 1.0
"""How long a process may take to say what it is, where there are several."""


class TopOptions(NamedTuple):
    """What ``weft top`` was asked."""

    pid: int | None = None
    """None: the only process there is."""
    interval_s: float = 1.0
    is_once: bool = False
    as_json: bool = False


def show_top(options: TopOptions) -> None:
    """Watch until the process ends or Ctrl-C. Raises CallerError where there is nothing to watch,
    or too much."""
    address = _choose(find_monitors(), options.pid)
    console = Console(highlight=False)
    try:
        if options.is_once:
            _show_once(next(watch(address), None), options, console)
        else:
            _follow(watch(address, options.interval_s), options, console)
    except KeyboardInterrupt:
        return
    except BrokenPipeError:
        # Nobody reads any more; Python would complain when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    if not options.is_once:
        print(f"Process {address.pid} has ended, or runs no more programs.", file=sys.stderr)


def _show_once(snapshot: Snapshot | None, options: TopOptions, console: Console) -> None:
    if snapshot is None:
        raise CallerError("The process has just ended.", remedy="Look at another.")
    if options.as_json:
        print(snapshot.to_json().decode())
    else:
        console.print(screenful(snapshot, console))


def _follow(snapshots: Iterator[Snapshot], options: TopOptions, console: Console) -> None:
    if options.as_json:
        _print(snapshot.to_json().decode() for snapshot in snapshots)
    elif console.is_terminal and not console.is_dumb_terminal:
        _draw(snapshots, console)
    else:
        _print(map(brief, snapshots))


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, flush=True)


def _draw(snapshots: Iterator[Snapshot], console: Console) -> None:
    """In place of what is on the terminal, which comes back at the end."""
    with Live(console=console, screen=True, auto_refresh=False) as live:
        for snapshot in snapshots:
            live.update(screenful(snapshot, console), refresh=True)


def _choose(addresses: tuple[MonitorAddress, ...], pid: int | None) -> MonitorAddress:
    chosen = [one for one in addresses if pid in (None, one.pid)]
    if len(chosen) == 1:
        return chosen[0]
    if pid is not None:
        raise CallerError(
            f"Process {pid} does not show what its programs do.", remedy=_others(addresses)
        )
    raise CallerError(
        f"{len(addresses) or 'No'} processes show what their programs do.",
        remedy=_others(addresses),
    )


def _others(addresses: tuple[MonitorAddress, ...]) -> str:
    if not addresses:
        return "Run some with `weft run FILE --runs 8`, or open a weft.runtime.monitor.Monitor."
    return f"Choose {' or '.join(map(_described, addresses))}."


def _described(address: MonitorAddress) -> str:
    try:
        [seen] = watch(address, answer_s=DESCRIBED_S)
    except (WeftError, ValueError):
        return f"`weft top {address.pid}`"
    return f"`weft top {address.pid}` ({one_line(seen.engine)}, open: {seen.num_programs})"

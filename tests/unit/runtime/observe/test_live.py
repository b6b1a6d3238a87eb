from __future__ import annotations

import io

from rich.console import Console

from tests.unit.runtime.observe.recorded import Recorder, shop_run
from weft.runtime.observe import Event, LiveTree


class ManualNow:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def console(width: int = 90, height: int = 20, encoding: str = "utf-8") -> Console:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    return Console(record=True, width=width, height=height, file=file, force_terminal=False)


def frame(events: list[Event], wait_s: float = 0.0, *, on: Console | None = None) -> list[str]:
    """The lines drawn ``wait_s`` seconds after the last of the events."""
    screen, now = on or console(), ManualNow()
    tree = LiveTree(screen, now)
    for event in events:
        now.now_s = 100.0 + event.time_s
        tree(event)
    now.now_s += wait_s
    screen.print(tree.render())
    return [line.rstrip() for line in screen.export_text().splitlines()]


def until(seq: int, hostile: str = "") -> list[Event]:
    return shop_run(hostile)[:seq]


def test_running_steps_show_their_spinner_tokens_seconds_and_text() -> None:
    assert frame(until(9), 0.5) == [
        "⠹ answer  1.2 s",
        "  ⠹ sql  2 tok, 1.0 s  SELECT 1",
        "  ⠹ note  0.8 s  Greet the customer.",
        "3 running, 2 tok, 1.2 s",
    ]


def test_the_spinner_turns_with_the_clock_and_not_with_events() -> None:
    marks = {frame(until(9), 0.1 * turn)[0][0] for turn in range(10)}
    assert len(marks) == 10


def test_a_finished_run_shows_marks_cost_and_results() -> None:
    assert frame(shop_run(), 60.0) == [
        "✓ answer  4.0 s  42",
        "  ✓ sql  12 tok, 75% cached, 1.8 s  SELECT 42",
        "  ✗ note  3.0 s  StepTimeout: too slow",
        "  ✓ rows  1.0 s  [[42]]",
        "3 done, 1 failed, 12 tok, 75% cached, 4.0 s  querying",
    ]


def test_a_terminal_without_unicode_gets_ascii_marks() -> None:
    lines = frame(shop_run(), on=console(encoding="ascii"))
    assert [line.split()[0] for line in lines[:4]] == ["+", "+", "x", "+"]
    assert all(line.isascii() for line in lines)


def test_hostile_text_and_markup_cannot_reach_the_terminal() -> None:
    lines = frame(shop_run("[red]\x1b[2J\n\r\u202e"))
    assert len(lines) == 5
    assert all(line.isprintable() for line in lines)
    assert "[red]\\x1b[2J" in lines[1]


def test_no_line_is_wider_than_the_terminal() -> None:
    lines = frame(until(9, "界" * 200), on=console(width=40))
    assert len(lines) == 4
    assert max(map(len, lines)) <= 40


def test_a_tree_too_tall_shows_what_runs_and_counts_the_rest() -> None:
    recorder = Recorder()
    recorder.step(0.0, "answer", "submitted", kind="program")
    recorder.step(0.0, "answer", "started", kind="program")
    for number in range(30):
        recorder.step(0.0, f"answer/s{number}", "submitted")
        recorder.step(0.0, f"answer/s{number}", "started")
    for number in set(range(30)) - {3, 17}:
        recorder.step(1.0, f"answer/s{number}", "finished")
    lines = frame(recorder.events, on=console(height=8))
    names = [line.split()[1] for line in lines[:-1]]
    assert names == ["answer", "s3", "s17", "s27", "s28", "s29"]
    assert lines[-1] == "3 running, 28 done, 25 not shown, 1.0 s"


def test_entering_draws_and_leaving_leaves_the_last_frame() -> None:
    screen = console()
    with LiveTree(screen, ManualNow()) as tree:
        for event in shop_run():
            tree(event)
    assert "✓ rows" in screen.export_text()

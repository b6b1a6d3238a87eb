from __future__ import annotations

from tests.unit.runtime.observe.recorded import shop_run
from weft.runtime.observe import PlainLines

GOLDEN = """\
    0.00s  run started answer
    0.00s  start  answer
    0.25s    start  sql: Write SQL for: how many mugs?
    0.50s    start  note: Greet the customer.
    1.00s    retry  sql: OutputInvalid: no such table
    2.00s    done   sql (12 tok, 75% cached, 1.8 s): SELECT 42
    2.00s  ... querying
    2.00s    start  rows: query
    3.00s    done   rows (1.0 s): [[42]]
    3.50s    FAIL   note (3.0 s): StepTimeout: too slow
    4.00s  done   answer (4.0 s): 42
    4.00s  run finished answer
"""


def lines_of(hostile: str = "", width: int = 120) -> list[str]:
    lines: list[str] = []
    plain = PlainLines(lines.append, width=width)
    for event in shop_run(hostile):
        plain(event)
    return lines


def test_a_recorded_run_reads_as_it_always_did() -> None:
    assert "".join(f"{line}\n" for line in lines_of()) == GOLDEN


def test_hostile_text_stays_one_printable_line() -> None:
    lines = lines_of("\n\x1b[2J\r\x9b\u202e\ud800")
    assert len(lines) == len(GOLDEN.splitlines())
    assert all(line.isprintable() for line in lines)


def test_lines_are_cut_to_the_width() -> None:
    lines = lines_of("x" * 500, width=40)
    assert max(len(line) for line in lines) == 40

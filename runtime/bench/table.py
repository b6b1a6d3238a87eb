"""A report for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from weft.runtime.bench.report import Basis, BenchReport, Row

__all__ = ["render_table"]


def render_table(report: BenchReport) -> str:
    """The figures, the rows and what is missing, as plain aligned text."""
    return "\n".join(_lines(report))


def _lines(report: BenchReport) -> Iterator[str]:
    machine = ", ".join(f"{name} {value}" for name, value in report.machine.items())
    yield f"{report.bench} at {report.commit or 'no commit'}, seed {report.seed}"
    yield f"on {machine}"
    yield ""
    yield from aligned([_figure(report, name) for name in report.figures])
    for columns, rows in _grouped(report.rows):
        yield ""
        cells = [[_number(row[column]) for column in columns] for row in rows]
        yield from aligned([columns, *cells])
    for line in report.missing:
        yield f"missing: {line}"


def _figure(report: BenchReport, name: str) -> tuple[str, ...]:
    """Its name, its number, what it rests on and whom it compares with."""
    basis = report.basis.get(name)
    number = _number(report.figures[name])
    return (name, number, "", "") if basis is None else (name, number, _rounds(basis), basis.peer)


def _rounds(basis: Basis) -> str:
    if basis.is_short:
        return f"ONLY {basis.num_rounds} of {basis.num_asked} rounds"
    return "1 round" if basis.num_rounds == 1 else f"{basis.num_rounds} rounds"


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The first column flush left, the others flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        first = row[0].ljust(widths[0])
        rest = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        yield "  ".join([first, *rest]).rstrip()


def _grouped(rows: Sequence[Row]) -> Iterator[tuple[tuple[str, ...], list[Row]]]:
    """Rows of the same columns together, in the order of first appearance."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row), []).append(row)
    yield from groups.items()


def _number(value: str | int | float) -> str:
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)

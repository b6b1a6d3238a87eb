"""The boundary between commands and the shell: errors become a panel or a JSON object."""

from __future__ import annotations

import functools
import json
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Annotated, ParamSpec

import typer
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from weft.runtime.cli.problem import Problem, problem_of

__all__ = ["Debug", "Json", "print_json", "reported", "show"]

P = ParamSpec("P")

Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on standard output, nothing else.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def reported(command: Callable[P, None]) -> Callable[P, None]:
    """Let no exception out of a command: show it, then exit with its code.

    The command's own ``json_output`` and ``debug`` arguments decide how it is shown.
    """

    @functools.wraps(command)
    def boundary(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except typer.Exit:
            raise
        except (Exception, KeyboardInterrupt) as error:
            if kwargs.get("debug"):
                traceback.print_exception(error)
            problem = problem_of(error)
            show(problem, as_json=bool(kwargs.get("json_output")))
            raise typer.Exit(problem.exit_code) from None

    return boundary


def show(problem: Problem, *, as_json: bool) -> None:
    """A Problem for people on standard error, or for scripts on standard output."""
    if as_json:
        print_json(problem.as_json())
        return
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        print(f"error: {problem.what} {problem.remedy}".rstrip(), file=sys.stderr)
        return
    body = escape(problem.what)
    if problem.remedy:
        body += f"\n[dim]{escape(problem.remedy)}[/dim]"
    console.print(Panel(body, title=problem.kind, title_align="left", border_style="red"))


def print_json(value: Mapping[str, object]) -> None:
    """The one JSON object of ``--json``; what is not JSON-shaped is shown as text."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))

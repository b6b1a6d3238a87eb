"""The `weft` command: what may be asked. How it is answered is imported only when asked for,
so that `weft --help` needs neither torch nor pydantic."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from weft.runtime.cli.report import Debug, Json, reported

__all__ = ["app", "main"]

app = typer.Typer(
    name="weft",
    help="Run LLM programs on open-weight models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
model_app = typer.Typer(help="Look at models and measure them.", no_args_is_help=True)
runs_app = typer.Typer(help="Look at earlier runs.", no_args_is_help=True)
app.add_typer(model_app, name="model")
app.add_typer(runs_app, name="runs")

EngineName = Annotated[
    str,
    typer.Option("--engine", metavar="NAME", help="mini, a model folder, a hub id or a URL."),
]
StoreUrl = Annotated[
    str, typer.Option("--store", metavar="URL", help="Where runs are recorded: a file or a URL.")
]
ModelName = Annotated[str, typer.Argument(metavar="NAME", help="mini, a model folder or a hub id.")]
Seed = Annotated[int, typer.Option(min=0, help="Same seed, same tokens.")]
Weights = Annotated[
    Literal["stored", "int8"],
    typer.Option("--weights", help="As stored, or rounded to 8 bits as they are loaded."),
]
KVDType = Annotated[
    Literal["auto", "int8"],
    typer.Option("--kv-dtype", help="Keys and values as computed, or rounded to 8 bits."),
]

DEFAULT_STORE = "weft.db"


def main() -> None:
    """The console script."""
    app()


@app.command("run")
@reported
def run(
    program: Annotated[str, typer.Argument(metavar="FILE[:PROGRAM]", help="What to run.")],
    input_text: Annotated[
        str | None,
        typer.Option("--input", metavar="JSON", help="Arguments: a JSON object, @file or @-."),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="K=V", help="One argument; repeatable.")
    ] = None,
    engine: EngineName = "mini",
    weights: Weights = "stored",
    kv_dtype: KVDType = "auto",
    seed: Seed = 0,
    store: StoreUrl = DEFAULT_STORE,
    trace: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write the run as one HTML page.")
    ] = None,
    runs: Annotated[
        int | None,
        typer.Option("--runs", metavar="N", min=1, help="Run it N times under a scheduler."),
    ] = None,
    concurrent: Annotated[
        int | None,
        typer.Option("--concurrent", metavar="M", min=1, help="Open so many of them at once."),
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option("--schedule", metavar="POLICY", help="Which scheduler; weft by default."),
    ] = None,
    json_output: Json = False,
    debug: Debug = False,
) -> None:
    """Run a program and watch its steps; with --runs many times, for `weft top` to watch."""
    from weft.runtime.cli.many import ManyOptions, run_many
    from weft.runtime.cli.run import RunOptions, run_program

    options = RunOptions(
        program=program,
        input_text=input_text,
        settings=tuple(settings or ()),
        engine=engine,
        weights=weights,
        kv_dtype=kv_dtype,
        seed=seed,
        store=store,
        trace=trace,
        as_json=json_output,
        debug=debug,
    )
    if runs is None and concurrent is None and schedule is None:
        raise typer.Exit(run_program(options))
    many = ManyOptions(num_runs=runs or 1, num_open=concurrent, policy=schedule or "weft")
    raise typer.Exit(run_many(options, many))


@app.command("top")
@reported
def top(
    pid: Annotated[
        int | None, typer.Argument(min=1, help="Which process; by default the only one.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Look once, and end.")] = False,
    interval_s: Annotated[
        float, typer.Option("--interval", metavar="S", min=0.1, max=3600, help="Seconds.")
    ] = 1.0,
    json_output: Annotated[
        bool, typer.Option("--json", help="One JSON object per line for each look.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Watch programs that run in another process."""
    from weft.runtime.cli.top import TopOptions, show_top

    show_top(TopOptions(pid=pid, interval_s=interval_s, is_once=once, as_json=json_output))


@app.command("doctor")
@reported
def doctor(json_output: Json = False, debug: Debug = False) -> None:
    """Check that everything programs need is here."""
    from weft.runtime.cli.doctor import run_doctor

    raise typer.Exit(run_doctor(as_json=json_output))


@app.command("bench")
@reported
def bench(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME] [FILE]", help="Which bench; none lists them."),
    ] = None,
    peers: Annotated[
        list[str] | None,
        typer.Option("--peer", metavar="KIND=URL", help="Compare with this peer; repeatable."),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Measure more, for longer.")] = False,
    rounds: Annotated[
        int | None,
        typer.Option("--rounds", metavar="N", help="Interleaved rounds per figure."),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="NAME", help="engine: mini, m197 or all; repeatable."),
    ] = None,
    workloads: Annotated[
        list[str] | None,
        typer.Option(
            "--workload",
            metavar="NAME,…",
            help="engine: decode:1, decode:8, decode:32, decode:128, prefill; repeatable.",
        ),
    ] = None,
    seed: Seed = 0,
    json_output: Annotated[
        bool,
        typer.Option("--json", help="The report as JSON on standard output, or into FILE."),
    ] = False,
    debug: Debug = False,
) -> None:
    """Measure weft, and its peers in the same run."""
    from weft.runtime.cli.bench import BenchRequest, show_bench

    show_bench(
        BenchRequest(
            words=words or (),
            peers=peers or (),
            is_full=full,
            num_rounds=rounds,
            models=models or (),
            workloads=workloads or (),
            seed=seed,
            as_json=json_output,
        )
    )


@model_app.command("info")
@reported
def model_info(name: ModelName, json_output: Json = False, debug: Debug = False) -> None:
    """Show what a model is, without loading its weights."""
    from weft.runtime.cli.model import show_info

    show_info(name, as_json=json_output)


@model_app.command("eval")
@reported
def model_eval(
    name: ModelName = "mini",
    skills: Annotated[
        list[str] | None, typer.Option("--skill", help="One skill only; repeatable.")
    ] = None,
    problems: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="<skill>.jsonl files; default: mini's.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Problems per skill.")] = None,
    n: Annotated[int, typer.Option("--n", min=0, max=1024, help="Samples for pass@k.")] = 0,
    weights: Weights = "stored",
    kv_dtype: KVDType = "auto",
    seed: Seed = 0,
    json_output: Json = False,
    debug: Debug = False,
) -> None:
    """Measure a model on held-out problems: greedy accuracy, and pass@k of n samples."""
    from weft.runtime.cli.model import EvalOptions, show_eval

    options = EvalOptions(
        model=name,
        skills=tuple(skills or ()),
        folder=problems,
        limit=limit,
        n=n,
        weights=weights,
        kv_dtype=kv_dtype,
        seed=seed,
    )
    show_eval(options, as_json=json_output)


@runs_app.command("ls")
@reported
def runs_ls(
    store: StoreUrl = DEFAULT_STORE,
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 20,
    json_output: Json = False,
    debug: Debug = False,
) -> None:
    """List the newest runs."""
    from weft.runtime.cli.runs import list_runs

    list_runs(store, limit, as_json=json_output)


@runs_app.command("show")
@reported
def runs_show(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="A run's id or its beginning.")],
    store: StoreUrl = DEFAULT_STORE,
    json_output: Json = False,
    debug: Debug = False,
) -> None:
    """Show one run and its steps."""
    from weft.runtime.cli.runs import show_run

    show_run(store, run_id, as_json=json_output)


@runs_app.command("tree")
@reported
def runs_tree(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="A run's id or its beginning.")],
    store: StoreUrl = DEFAULT_STORE,
    json_output: Json = False,
    debug: Debug = False,
) -> None:
    """Show what one run generated as a token tree; --json is for trainers."""
    from weft.runtime.cli.runs import show_tree

    show_tree(store, run_id, as_json=json_output)

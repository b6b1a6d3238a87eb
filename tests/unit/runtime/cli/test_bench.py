from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from weft.runtime.bench import BenchOptions, BenchReport, bench_names
from weft.runtime.cli import bench
from weft.runtime.cli.app import app


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[BenchOptions]:
    """Benches that measure nothing and remember what they were asked."""
    seen: list[BenchOptions] = []

    def measure(name: str, options: BenchOptions) -> BenchReport:
        seen.append(options)
        options.say("measuring")
        return BenchReport(
            bench=name,
            figures={"speed": 2.0},
            rows=(),
            missing=(),
            machine={"cpu": "fast"},
            commit="c",
            seed=options.seed,
        )

    monkeypatch.setattr(bench, "run_bench", measure)
    return seen


def weft(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["bench", *arguments])


def test_no_name_lists_the_benches() -> None:
    assert weft().stdout.split() == list(bench_names())


def test_options_reach_the_bench(asked: list[BenchOptions]) -> None:
    peer = "vllm=http://localhost:1"
    result = weft("overhead", "--peer", peer, "--full", "--seed", "3", "--rounds", "5")
    assert result.exit_code == 0, result.output
    assert "speed" in result.stdout
    assert result.stderr == "measuring\n"
    (options,) = asked
    assert options.peers == {"vllm": "http://localhost:1"}
    assert (options.is_full, options.seed, options.rounds) == (True, 3, 5)


def test_models_and_workloads_reach_the_bench(asked: list[BenchOptions]) -> None:
    result = weft("engine", "--model", "m197", "--workload", "decode:1", "--workload", "prefill")
    assert result.exit_code == 0, result.output
    (options,) = asked
    assert (options.models, options.workloads) == (("m197",), ("decode:1", "prefill"))


@pytest.mark.usefixtures("asked")
def test_json_goes_to_standard_output_or_into_a_file(tmp_path: Path) -> None:
    alone = weft("overhead", "--json")
    assert json.loads(alone.stdout)["figures"] == {"speed": 2.0}
    file = tmp_path / "figures.json"
    for arguments in (["overhead", "--json", str(file)], ["--json", str(file), "overhead"]):
        assert weft(*arguments).exit_code == 0
        assert json.loads(file.read_text())["bench"] == "overhead"
        file.unlink()


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["overhed"], "Did you mean 'overhead'?"),
        (["overhead", "engine"], "One bench at a time."),
        (["overhead", "file.json"], "got ['file.json'] besides 'overhead'"),
        (["overhead", "--json", "/no/such/folder/x.json"], "There is no folder"),
        (["overhead", "--peer", "vllm"], "not KIND=URL"),
        (["overhead", "--rounds", "0"], "num_rounds is 0."),
    ],
)
def test_mistake_exits_with_2(arguments: list[str], said: str) -> None:
    result = weft(*arguments)
    assert result.exit_code == 2
    assert said in result.output

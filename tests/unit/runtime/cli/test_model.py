"""`weft model` on a tiny random checkpoint, and on answers that are known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from weft.runtime.cli.app import app


def weft(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["model", *arguments])


def test_info_shows_what_the_checkpoint_is(tiny_checkpoint: Path) -> None:
    shown = json.loads(weft("info", str(tiny_checkpoint), "--json").stdout)
    config = json.loads((tiny_checkpoint / "config.json").read_text())
    assert shown["folder"] == str(tiny_checkpoint)
    for name in ("model_type", "hidden_size", "head_dim", "vocab_size"):
        assert shown[name] == config[name]
    told = weft("info", str(tiny_checkpoint)).stdout
    assert "Qwen3ForCausalLM (qwen3)" in told
    assert "4 of 8, 2 for keys and values" in told


def test_info_of_no_model_exits_with_2(tmp_path: Path) -> None:
    result = weft("info", str(tmp_path))
    assert result.exit_code == 2
    assert "error:" in result.stderr and "Traceback" not in result.stderr


@pytest.fixture
def problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two problems of which a script solves one greedily, and half of the time when it draws."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "answers.json").write_text(json.dumps({"two": ["2", "two"], "": "?"}))
    lines = [
        {
            "id": word,
            "messages": [{"role": "user", "content": word}],
            "tools": None,
            "check": {"kind": "exact", "answer": answer},
        }
        for word, answer in (("two", "2"), ("three", "3"))
    ]
    folder = tmp_path / "heldout"
    folder.mkdir()
    (folder / "count.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder


def test_eval_gives_shares_per_skill(problems: Path) -> None:
    asked = ("eval", "scripted://answers.json", "--problems", str(problems), "--n", "2")
    shown = json.loads(weft(*asked, "--json").stdout)
    assert shown["skills"] == {
        "count": {"num_problems": 2, "greedy": 0.5, "pass@1": 0.25, "pass@2": 0.5}
    }
    told = weft(*asked).stdout.split()
    assert told[-5:] == ["count", "2", "50.0%", "25.0%", "50.0%"]


def test_eval_of_an_unknown_skill_exits_with_2(problems: Path) -> None:
    result = weft("eval", "scripted://", "--problems", str(problems), "--skill", "cuont")
    assert result.exit_code == 2
    assert "Did you mean 'count'?" in result.stderr


@pytest.mark.parametrize(("option", "said"), [("--weights", "weights"), ("--kv-dtype", "kv_dtype")])
def test_eval_of_a_model_that_8_bits_do_not_serve_is_refused(
    problems: Path, tiny_checkpoint: Path, option: str, said: str
) -> None:
    result = weft("eval", str(tiny_checkpoint), "--problems", str(problems), option, "int8")
    assert result.exit_code == 2
    assert f"{said}='int8': its heads have 8 values" in " ".join(result.stderr.split())

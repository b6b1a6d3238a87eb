"""The report's two faces."""

from __future__ import annotations

import json
import math

import pytest

from weft.runtime.bench.report import Basis, BenchReport
from weft.runtime.bench.table import render_table


def report(figure: float = 1.5) -> BenchReport:
    return BenchReport(
        bench="engine",
        figures={
            "mini_decode_vs_vllm_b8": figure,
            "mini_decode_weft_tokens_per_s_b8": 12345.6,
            "mini_bytes": 7.0,
        },
        rows=({"model": "mini", "batch": 8}, {"model": "m197", "batch": 128}, {"what": "x"}),
        missing=("vllm: not installed",),
        machine={"cpu": "abacus", "num_cores": 2},
        commit="abc",
        seed=7,
        basis={
            "mini_decode_vs_vllm_b8": Basis(num_rounds=1, num_asked=5, peer="vllm-float32"),
            "mini_decode_weft_tokens_per_s_b8": Basis(num_rounds=5, num_asked=5),
        },
    )


def test_json_is_one_line_with_the_promised_keys() -> None:
    text = report().to_json()
    data = json.loads(text)
    assert "\n" not in text
    keys = {"bench", "figures", "basis", "rows", "missing", "machine", "commit", "seed"}
    assert set(data) == keys
    assert data["figures"]["mini_decode_vs_vllm_b8"] == 1.5
    assert data["rows"][1] == {"model": "m197", "batch": 128}


def test_json_says_what_a_figure_rests_on_and_whether_time_ended_before() -> None:
    basis = json.loads(report().to_json())["basis"]
    assert basis["mini_decode_vs_vllm_b8"] == {
        "num_rounds": 1,
        "num_asked": 5,
        "peer": "vllm-float32",
        "is_short": True,
    }
    assert basis["mini_decode_weft_tokens_per_s_b8"]["is_short"] is False
    assert "mini_bytes" not in basis


def test_a_figure_that_is_no_number_is_not_written() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        report(math.nan).to_json()


def test_table_shows_figures_rows_by_shape_and_what_is_missing() -> None:
    assert render_table(report()).splitlines() == [
        "engine at abc, seed 7",
        "on cpu abacus, num_cores 2",
        "",
        "mini_decode_vs_vllm_b8              1.5  ONLY 1 of 5 rounds  vllm-float32",
        "mini_decode_weft_tokens_per_s_b8  12346            5 rounds",
        "mini_bytes                            7",
        "",
        "model  batch",
        "mini       8",
        "m197     128",
        "",
        "what",
        "x",
        "missing: vllm: not installed",
    ]

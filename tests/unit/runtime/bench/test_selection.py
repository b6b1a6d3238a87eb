"""Models and workloads by name."""

from __future__ import annotations

import pytest

from weft.errors import InvalidRequest
from weft.runtime.bench.selection import GPU_MODELS, MODELS, POINTS, choose_models, choose_points


@pytest.mark.parametrize("asked", [(), ("all",), ("mini", "all")])
def test_none_and_all_are_all(asked: tuple[str, ...]) -> None:
    assert choose_models(asked, has_gpu=False) == list(MODELS) == ["mini", "m197"]
    assert choose_models(asked, has_gpu=True) == ["mini", "m197", "qwen3_1b7"]
    assert choose_points(() if not asked else ("all",)) == list(POINTS.values())


def test_choices_keep_the_order_in_which_they_are_measured() -> None:
    assert choose_models(["m197", "mini", "m197"], has_gpu=False) == ["mini", "m197"]
    chosen = choose_points(["prefill", "decode:128,decode:1"])
    assert chosen == [("decode", 1), ("decode", 128), ("prefill", 4)]


def test_a_model_for_a_gpu_is_chosen_where_one_is() -> None:
    assert choose_models(GPU_MODELS, has_gpu=True) == ["qwen3_1b7"]
    with pytest.raises(InvalidRequest, match="'qwen3_1b7'.*CUDA device.*Choose of mini, m197"):
        choose_models(["all", *GPU_MODELS], has_gpu=False)


def test_what_there_is_not_is_refused_by_name() -> None:
    with pytest.raises(InvalidRequest, match="no model 'm9'.*mini, m197, qwen3_1b7 or all"):
        choose_models(["m9"], has_gpu=True)
    with pytest.raises(InvalidRequest, match="no workload 'decode:7'.*decode:8.*prefill"):
        choose_points(["decode:7"])

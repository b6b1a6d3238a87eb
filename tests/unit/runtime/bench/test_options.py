"""What a bench may be asked."""

from __future__ import annotations

import pytest

from weft.errors import InvalidRequest
from weft.runtime.bench.options import BenchOptions, parse_peer


def test_peer_is_kind_and_url() -> None:
    assert parse_peer("vllm=http://127.0.0.1:8000/?a=b") == ("vllm", "http://127.0.0.1:8000/?a=b")


@pytest.mark.parametrize("text", ["vllm", "vllm=", "=http://127.0.0.1"])
def test_half_a_peer_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="KIND=URL"):
        parse_peer(text)


@pytest.mark.parametrize("values", [{"num_rounds": 0}, {"seed": -1}])
def test_bad_counts_are_refused(values: dict[str, int]) -> None:
    with pytest.raises(InvalidRequest, match="at least"):
        BenchOptions(**values)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_full_means_more_rounds_unless_said() -> None:
    assert BenchOptions(is_full=True).rounds > BenchOptions().rounds
    assert BenchOptions(is_full=True, num_rounds=2).rounds == 2
    assert BenchOptions().limit_s < 600


def test_figures_are_medians_of_five_rounds_by_default() -> None:
    assert BenchOptions().rounds == 5

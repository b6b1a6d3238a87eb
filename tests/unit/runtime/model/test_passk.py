"""pass@k against counting every subset."""

from itertools import combinations

import pytest

from weft.runtime.model.passk import pass_at_k


@pytest.mark.parametrize("n", [1, 4, 7])
def test_equals_the_share_of_subsets_with_a_right_sample(n: int) -> None:
    for c in range(n + 1):
        samples = [index < c for index in range(n)]
        for k in range(1, n + 1):
            subsets = list(combinations(samples, k))
            expected = sum(any(subset) for subset in subsets) / len(subsets)
            assert pass_at_k(n, c, k) == pytest.approx(expected)


def test_stays_exact_for_many_samples() -> None:
    assert pass_at_k(10_000, 1, 1) == pytest.approx(1e-4)
    assert pass_at_k(10_000, 1, 10_000) == 1.0


@pytest.mark.parametrize(("n", "c", "k"), [(4, 5, 1), (4, -1, 1), (4, 2, 0), (4, 2, 5)])
def test_refuses_impossible_counts(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match="pass"):
        pass_at_k(n, c, k)

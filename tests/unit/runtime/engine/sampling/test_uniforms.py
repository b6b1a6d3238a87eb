from __future__ import annotations

import numpy as np

from weft.runtime.engine.sampling import uniforms

FIXED = [0.23286544795475594, 0.19587228341973462, 0.35048514096190175]


def grid(num_seeds: int, num_positions: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    seeds = np.repeat(np.arange(num_seeds, dtype=np.uint64), num_positions)
    positions = np.tile(np.arange(num_positions, dtype=np.uint64), num_seeds)
    return uniforms(seeds, positions).reshape(num_seeds, num_positions)


def test_values_are_fixed() -> None:
    """The same in every version: a recorded run draws the same tokens again."""
    seeds = np.array([0, 1, 2**63 - 1], np.uint64)
    positions = np.array([0, 5, 2**20], np.uint64)
    one_by_one = [uniforms(seeds[i : i + 1], positions[i : i + 1])[0] for i in range(3)]
    assert uniforms(seeds, positions).tolist() == one_by_one == FIXED


def test_values_are_uniform_along_seeds_and_along_positions() -> None:
    """Chi-square over 64 bins; 103.4 is the 0.1% point for 63 degrees of freedom."""
    numbers = grid(128, 128)
    assert 0 <= numbers.min() and numbers.max() < 1
    for part in (numbers, numbers[:, 0:1], numbers[3], numbers[:, ::16]):
        observed = np.histogram(part, bins=64, range=(0, 1))[0]
        expected = part.size / 64
        assert ((observed - expected) ** 2 / expected).sum() < 103.4


def test_neighbours_are_not_correlated() -> None:
    numbers = grid(200, 200)
    one, other = numbers[:, :-1].ravel(), numbers[:, 1:].ravel()
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.02
    one, other = numbers[:-1].ravel(), numbers[1:].ravel()
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.02

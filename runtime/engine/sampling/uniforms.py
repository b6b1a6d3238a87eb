"""Random numbers that depend on (seed, position) alone.

A draw is a pure function of its counter, so it cannot depend on which other sequences are in the
batch, on the order of Ticks, or on a preemption in between, and nothing has to be stored.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["uniforms"]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31, _S11 = (np.uint64(bits) for bits in (27, 30, 31, 11))


def uniforms(
    seeds_R: npt.NDArray[np.uint64], positions_R: npt.NDArray[np.uint64]
) -> npt.NDArray[np.float64]:
    """One number in [0, 1) with 53 random bits for each (seed, position).

    The hash is the SplitMix64 finaliser (Steele, Lea and Flood, OOPSLA 2014), applied to the seed
    and again to the position's point on the Weyl sequence that starts there.
    """
    key_R = _mix(seeds_R + _GOLDEN)
    bits_R = _mix(_mix(key_R + positions_R * _GOLDEN) ^ key_R)
    return (bits_R >> _S11).astype(np.float64) * 2.0**-53


def _mix(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    z = (z ^ (z >> _S30)) * _MIX_1
    z = (z ^ (z >> _S27)) * _MIX_2
    return z ^ (z >> _S31)

"""Seeds that depend on identity alone, never on timing."""

from __future__ import annotations

import hashlib

__all__ = ["branch_seed", "step_seed"]


def step_seed(run_seed: int, lineage: str) -> int:
    """The seed of a Step: a 63-bit hash of the run's seed and the Step's lineage id."""
    return _hash63(f"step\0{run_seed}\0{lineage}")


def branch_seed(seed: int, index: int) -> int:
    """The seed of sequence ``index`` of a Request; the first one keeps the seed itself."""
    return seed if index == 0 else _hash63(f"branch\0{seed}\0{index}")


def _hash63(text: str) -> int:
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1

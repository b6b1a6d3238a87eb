"""pass@k: the chance that at least one of k samples is right."""

from math import prod


def pass_at_k(n: int, c: int, k: int) -> float:
    """Estimate pass@k without bias from `n` samples of which `c` were right.

    It is the share of the k-sized subsets of the samples that hold a right one.
    Raises ValueError unless 0 <= c <= n and 1 <= k <= n.
    """
    if not 0 <= c <= n:
        raise ValueError(f"got {c!r} right of {n!r} samples; pass 0 <= c <= n")
    if not 1 <= k <= n:
        raise ValueError(f"got k={k!r} for {n!r} samples; pass 1 <= k <= n")
    if n - c < k:
        return 1.0
    return 1.0 - prod(1.0 - k / left for left in range(n - c + 1, n + 1))

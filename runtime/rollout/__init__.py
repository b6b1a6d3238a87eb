"""Generations as a trainer computes with them."""

from weft.runtime.rollout.dense import DenseTree, dense, distances, visibility
from weft.runtime.rollout.recompute import recompute

__all__ = ["DenseTree", "dense", "distances", "recompute", "visibility"]

"""What the tests of benches share."""

from __future__ import annotations

from dataclasses import replace

from weft.runtime.bench.checkpoint import MINI_LIKE

__all__ = ["TINY"]

TINY = replace(
    MINI_LIKE,
    hidden_size=16,
    num_layers=1,
    num_heads=2,
    num_kv_heads=1,
    head_dim=8,
    intermediate_size=16,
    vocab_size=300,
)
"""A model small enough to be written and run in a test."""

"""What the tests of benches share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.torch import (
    load_file,  # pyright: ignore[reportUnknownVariableType]
    save_file,  # pyright: ignore[reportUnknownVariableType]
)

from weft.errors import PeerFailed
from weft.runtime.bench.checkpoint import MINI_LIKE, Shape, write_checkpoint

__all__ = ["TINY", "FakeDriver", "write_lively"]

LIVELINESS = 40.0

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


class FakeDriver:
    """Takes ``step_s`` per step; fails from call number ``fails_at`` on."""

    def __init__(self, peer: str, step_s: float, fails_at: int = 10**9) -> None:
        self.peer, self.step_s, self.fails_at = peer, step_s, fails_at
        self.num_calls = 0
        self.is_closed = False

    def call(self, operation: str, *, timeout_s: float = 0.0, **arguments: Any) -> Any:
        self.num_calls += 1
        if self.num_calls >= self.fails_at:
            raise PeerFailed("It broke.", peer=self.peer)
        if operation == "load":
            return f"1.{len(self.peer)}"
        return self.step_s * arguments["num_tokens"]

    def close(self) -> None:
        self.is_closed = True

    def __enter__(self) -> FakeDriver:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def write_lively(folder: Path, shape: Shape = TINY) -> Path:
    """A model whose layers weigh enough that what it says depends on the whole prompt."""
    write_checkpoint(folder, shape, seed=0)
    weights = load_file(folder / "model.safetensors")
    lively = {
        name: weight * LIVELINESS if name.endswith("proj.weight") else weight
        for name, weight in weights.items()
    }
    save_file(lively, folder / "model.safetensors", metadata={"format": "pt"})
    return folder

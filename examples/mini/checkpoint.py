"""The resumable state of a run: tensors in one file, read back as data only."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

FILE_NAME = "state.pt"


def save_state(
    folder: Path,
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    step: int,
    elapsed_s: float,
) -> None:
    """Write the state; a crash while writing leaves the previous one."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{FILE_NAME}.partial"
    state = {
        "model": model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "step": step,
        "elapsed_s": elapsed_s,
    }
    torch.save(state, partial)
    partial.replace(folder / FILE_NAME)


def load_state(
    folder: Path, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer]
) -> tuple[int, float]:
    """Load the state in place; return the step and the seconds already spent.

    Raises FileNotFoundError when there is none.
    """
    state = torch.load(folder / FILE_NAME, weights_only=True)
    model.load_state_dict(state["model"])
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    return int(state["step"]), float(state["elapsed_s"])

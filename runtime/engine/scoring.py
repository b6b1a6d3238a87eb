"""Log-probabilities of given tokens."""

from __future__ import annotations

import torch

from weft.programs.request import TokenLogprob
from weft.runtime.engine.sequence import Sequence

__all__ = ["score_rows"]


def score_rows(sequence: Sequence, positions: range, logits_RV: torch.Tensor) -> None:
    """Append to the sequence the log-probability of the token after each position.

    Row r of ``logits_RV`` (float32) belongs to ``positions[r]``.
    """
    targets = sequence.tokens[positions.start + 1 : positions.stop + 1]
    targets_R1 = torch.tensor(targets, device=logits_RV.device).unsqueeze(1)
    logprobs_R = torch.log_softmax(logits_RV, dim=-1).gather(1, targets_R1).squeeze(1)
    values: list[float] = logprobs_R.tolist()  # pyright: ignore[reportUnknownMemberType]
    for logprob in values:
        sequence.logprobs.append(TokenLogprob(logprob, {}, logprob))

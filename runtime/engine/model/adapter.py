"""Our attention as transformers' modules call it."""

from __future__ import annotations

import torch
from transformers import AttentionInterface

from weft.runtime.engine.model.attends import Attends

__all__ = ["ATTENTION_NAME", "register_attention"]

ATTENTION_NAME = "weft"


def register_attention() -> None:
    """Make ``attn_implementation="weft"`` known to transformers; repeating it changes nothing.

    No mask function goes with it: transformers then builds no mask, ours is in the layout.
    """
    AttentionInterface.register(ATTENTION_NAME, _attend)  # pyright: ignore[reportUnknownMemberType]


def _attend(
    module: torch.nn.Module,
    query_1HTD: torch.Tensor,
    key_1KTD: torch.Tensor,
    value_1KTD: torch.Tensor,
    attention_mask: None,
    *,
    paged_attention: Attends,
    scaling: float,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: object,
) -> tuple[torch.Tensor, None]:
    layer = module.layer_idx
    assert isinstance(layer, int)
    out_THD = paged_attention.attend(
        layer,
        query_1HTD[0].transpose(0, 1),
        key_1KTD[0].transpose(0, 1),
        value_1KTD[0].transpose(0, 1),
        scale=scaling,
        window=sliding_window,
        softcap=softcap,
    )
    return out_THD.unsqueeze(0), None

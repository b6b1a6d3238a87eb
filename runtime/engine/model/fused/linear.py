"""Matrix products with weights laid out once for the processor.

Shapes: R rows, I inputs, O outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import nn

__all__ = ["PackedLinear", "concat_linear", "pack_linear"]

MIN_PACKED_SIZE = 1 << 19
"""Below this many weights the fixed cost of a packed product (about 50 us measured) exceeds its
gain."""


class PackedLinear(nn.Module):
    """A linear layer whose weight is stored in oneDNN's blocked order.

    Measured 1.3 to 3 times ``torch.nn.Linear`` at 4 to 64 rows in float32.
    """

    def __init__(self, weight_OI: torch.Tensor, bias_O: torch.Tensor | None) -> None:
        super().__init__()
        # Not a parameter: the blocked tensor has no strides, so nothing but the product reads it.
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight_OI, None)
        self._bias_O = bias_O

    def forward(self, x_RI: torch.Tensor) -> torch.Tensor:
        # The overload by name: resolving it anew costs several microseconds a call.
        product = torch.ops.mkldnn._linear_pointwise.default(
            x_RI, self._packed, self._bias_O, "none", [], ""
        )
        return cast(torch.Tensor, product)


def pack_linear(linear: nn.Linear) -> nn.Module:
    """The layer packed where that pays, otherwise itself."""
    weight_OI = linear.weight.detach()
    if not _is_packable(weight_OI):
        return linear
    return PackedLinear(weight_OI, _bias(linear))


def concat_linear(linears: Sequence[nn.Linear]) -> nn.Module:
    """One layer whose outputs are those of the given ones, side by side, packed where it pays."""
    weight_OI = torch.cat([linear.weight.detach() for linear in linears])
    biases = [bias for bias in map(_bias, linears) if bias is not None]
    merged = nn.Linear(1, 1, bias=bool(biases), device="meta")
    merged.weight = nn.Parameter(weight_OI, requires_grad=False)
    if biases:
        merged.bias = nn.Parameter(torch.cat(biases), requires_grad=False)
    return pack_linear(merged)


def _bias(linear: nn.Linear) -> torch.Tensor | None:
    # torch types the attribute as always there.
    bias = cast(torch.Tensor | None, linear.bias)
    return None if bias is None else bias.detach()


def _is_packable(weight_OI: torch.Tensor) -> bool:
    is_big = weight_OI.numel() >= MIN_PACKED_SIZE
    is_plain = weight_OI.device.type == "cpu" and weight_OI.dtype == torch.float32
    return is_big and is_plain and _has_onednn()


def _has_onednn() -> bool:
    return bool(torch.backends.mkldnn.is_available())

"""On which device and in which dtype a model computes."""

from __future__ import annotations

from typing import get_args

import torch

from weft.errors import ModelLoadError
from weft.runtime.engine.config import DeviceName, DTypeName, KVDTypeName, WeightsName

__all__ = ["choose_device", "choose_dtype", "choose_kv_dtype", "has_bfloat16", "wants_int8"]


def choose_device(choice: DeviceName) -> torch.device:
    """``auto``: the CUDA device when there is one. Raises: ModelLoadError."""
    if choice not in get_args(DeviceName):
        raise ModelLoadError(
            f"Device {choice!r} is not known.", remedy=f"Use one of {get_args(DeviceName)!r}."
        )
    has_cuda = torch.cuda.is_available()
    if choice == "cuda" and not has_cuda:
        raise ModelLoadError("Device 'cuda' is not available here.", remedy="Use 'cpu' or 'auto'.")
    if choice == "cpu" or not has_cuda:
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())


def choose_dtype(choice: DTypeName, stored: str, device: torch.device) -> torch.dtype:
    """The compute dtype.

    ``auto`` takes what the checkpoint stores where the device computes it natively, otherwise
    float32: a processor without bfloat16 instructions needs 3 to 5 times longer for bfloat16
    products of 8 or more rows. (Weft's own kernels need less; their caller knows.) float16
    checkpoints compute in float32 on the CPU and in bfloat16 on CUDA. An explicit choice is
    always honoured. Raises: ModelLoadError.
    """
    if choice not in get_args(DTypeName):
        raise ModelLoadError(
            f"Dtype {choice!r} is not known.", remedy=f"Use one of {get_args(DTypeName)!r}."
        )
    if choice == "auto":
        is_half = stored in ("bfloat16", "float16")
        return torch.bfloat16 if is_half and has_bfloat16(device) else torch.float32
    return torch.float32 if choice == "float32" else torch.bfloat16


def choose_kv_dtype(choice: KVDTypeName, compute: torch.dtype) -> torch.dtype:
    """The dtype of the KV memory; ``auto`` is the compute dtype. Raises: ModelLoadError."""
    if choice not in get_args(KVDTypeName):
        raise ModelLoadError(
            f"KV dtype {choice!r} is not known.", remedy=f"Use one of {get_args(KVDTypeName)!r}."
        )
    return torch.int8 if choice == "int8" else compute


def wants_int8(choice: WeightsName) -> bool:
    """Raises: ModelLoadError."""
    if choice not in get_args(WeightsName):
        raise ModelLoadError(
            f"Weights {choice!r} are not known.", remedy=f"Use one of {get_args(WeightsName)!r}."
        )
    return choice == "int8"


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 matrices itself rather than in emulation."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    # torch has no public question for these.
    has_vectors = bool(torch.cpu._is_avx512_bf16_supported())  # pyright: ignore[reportPrivateUsage]
    return has_vectors or bool(
        torch.cpu._is_amx_tile_supported()  # pyright: ignore[reportPrivateUsage]
    )

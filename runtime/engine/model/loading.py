"""Reads a checkpoint's weights into a transformers model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol, cast

import torch
import transformers
from safetensors import SafetensorError, safe_open
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.initialization import no_init_weights

from weft.errors import ModelLoadError
from weft.runtime.engine.model.checkpoint import Checkpoint
from weft.runtime.engine.model.families import ExpertNames, Family
from weft.runtime.engine.model.shards import StoredTensor

__all__ = ["load_weights", "move"]


class _Target(NamedTuple):
    """Where one stored tensor goes: all or a slice of a parameter."""

    name: str
    into: torch.Tensor


def load_weights(
    checkpoint: Checkpoint, dtype: torch.dtype, device: torch.device
) -> PreTrainedModel:
    """The model in evaluation mode, its weights converted to ``dtype`` on ``device``.

    Every parameter must be stored once, in its shape, with finite values, and nothing else may
    be stored. Raises: ModelLoadError naming the tensor, what was expected and what was got.
    """
    model = _build(checkpoint, dtype)
    move(model, device)
    targets = list(_targets(model, checkpoint))
    _check_names(targets, checkpoint.tensors, model)
    for target in targets:
        _check_shape(target, checkpoint.tensors[target.name])
    _read(targets, checkpoint.tensors)
    return model


def move(model: torch.nn.Module, device: torch.device) -> None:
    """To the device, ready for inference. In place."""
    model.to(device)
    model.train(False)
    model.requires_grad_(False)


def _build(checkpoint: Checkpoint, dtype: torch.dtype) -> PreTrainedModel:
    try:
        model = _instantiate(checkpoint.family, checkpoint.config, dtype)
    # Sizes that do not fit together surface as whatever torch raises first.
    except Exception as error:
        raise ModelLoadError(
            f"'config.json' does not describe a {checkpoint.family.model_type} model: {error}",
            remedy="Download the checkpoint again.",
        ) from error
    return model


def _instantiate(family: Family, config: PreTrainedConfig, dtype: torch.dtype) -> PreTrainedModel:
    model_class: type[PreTrainedModel] = getattr(transformers, family.class_name)
    create = model_class._from_config  # pyright: ignore
    with no_init_weights():
        model = cast(PreTrainedModel, create(config, dtype=dtype))  # type: ignore[no-untyped-call]
    model.tie_weights()
    return model


def _targets(model: PreTrainedModel, checkpoint: Checkpoint) -> Iterator[_Target]:
    experts = checkpoint.family.experts
    for name, parameter in model.named_parameters():
        if experts is None or name in checkpoint.tensors:
            yield _Target(name, parameter.data)
        elif ".experts." in name:
            yield from _expert_targets(name, parameter.data, experts)
        else:
            yield _Target(name.replace(".mlp.gate.", f".{experts.block}.gate."), parameter.data)


def _expert_targets(name: str, parameter: torch.Tensor, experts: ExpertNames) -> Iterator[_Target]:
    """transformers stacks the experts of a layer, and gate on top of up; files keep them apart."""
    prefix, part = name.replace(".mlp.", f".{experts.block}.").rsplit(".", 1)
    for expert, weight in enumerate(parameter):
        if part == "down_proj":
            yield _Target(f"{prefix}.{expert}.{experts.down}.weight", weight)
        else:
            gate, up = weight.chunk(2)
            yield _Target(f"{prefix}.{expert}.{experts.gate}.weight", gate)
            yield _Target(f"{prefix}.{expert}.{experts.up}.weight", up)


def _check_names(
    targets: list[_Target], tensors: Mapping[str, StoredTensor], model: PreTrainedModel
) -> None:
    wanted = {target.name for target in targets}
    for target in targets:
        if target.name not in tensors:
            raise ModelLoadError(
                f"Tensor {target.name!r} of shape {tuple(target.into.shape)!r} is missing"
                " in the checkpoint.",
                remedy="Download the checkpoint again, or correct its config.json.",
            )
    tied = set(dict(model.named_parameters(remove_duplicate=False)))
    for name in tensors:
        if name not in wanted | tied and not re.search(r"rotary_emb\.inv_freq$", name):
            raise ModelLoadError(
                f"The checkpoint stores a tensor {name!r} that its config.json has no place for.",
                remedy="Correct config.json, or download the checkpoint again.",
            )


def _check_shape(target: _Target, tensor: StoredTensor) -> None:
    if tensor.shape != tuple(target.into.shape):
        raise ModelLoadError(
            f"Tensor {target.name!r} should have shape {tuple(target.into.shape)!r},"
            f" got {tensor.shape!r}.",
            remedy="Correct config.json, or download the checkpoint again.",
        )


def _read(targets: list[_Target], tensors: Mapping[str, StoredTensor]) -> None:
    files = {tensors[target.name].file for target in targets}
    for file in sorted(files):
        held = [target for target in targets if tensors[target.name].file == file]
        try:
            with _open(file) as stream:
                for target in held:
                    _fill(target, stream.get_tensor(target.name))
        except (SafetensorError, OSError) as error:
            raise ModelLoadError(
                f"{file.name!r} is damaged: {error}.", remedy="Download the checkpoint again."
            ) from error


class _TensorFile(Protocol):
    def get_tensor(self, name: str) -> torch.Tensor: ...


def _open(file: Path) -> AbstractContextManager[_TensorFile]:
    return cast(AbstractContextManager[_TensorFile], safe_open(file, framework="pt"))


def _fill(target: _Target, stored: torch.Tensor) -> None:
    low, high = torch.aminmax(stored) if stored.numel() else (stored, stored)
    if not (torch.isfinite(low).all() and torch.isfinite(high).all()):
        values = stored.flatten()
        where = int((~torch.isfinite(values)).nonzero()[0])
        raise ModelLoadError(
            f"Tensor {target.name!r} of shape {tuple(stored.shape)!r} holds"
            f" {float(values[where])!r} at flat index {where}.",
            remedy="Download the checkpoint again.",
        )
    target.into.copy_(stored)

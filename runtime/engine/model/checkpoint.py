"""A checkpoint opened and checked, its weights not yet read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from transformers import AutoConfig, PreTrainedConfig

from weft.errors import ModelLoadError
from weft.runtime.engine.model.families import Family, family_of
from weft.runtime.engine.model.foreign import DecoderConfig
from weft.runtime.engine.model.info import ModelInfo, describe
from weft.runtime.engine.model.shards import StoredTensor, list_tensors, read_json, safe_file
from weft.runtime.engine.model.source import resolve_source

__all__ = ["Checkpoint", "open_checkpoint"]

_DTYPE_NAMES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
_TOKENIZERS = (("tokenizer.json",), ("tokenizer.model",), ("vocab.json", "merges.txt"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A folder whose config, tokenizer and tensor headers are in order."""

    folder: Path
    family: Family
    config: PreTrainedConfig
    tensors: Mapping[str, StoredTensor]
    info: ModelInfo


def open_checkpoint(source: str | Path, *, revision: str | None = None) -> Checkpoint:
    """Find the checkpoint (see ``resolve_source``) and check all that can be without reading
    weights. No code of the checkpoint is run.

    Raises: ModelLoadError naming what is missing, damaged or unsupported.
    """
    folder = resolve_source(source, revision=revision)
    raw_config = read_json(safe_file(folder, "config.json"))
    family = family_of(raw_config.get("model_type"))
    _refuse_remote_code(folder, raw_config)
    _check_tokenizer(folder)
    config = _read_config(folder)
    decoder_config = cast(DecoderConfig, config)
    family.check(decoder_config)
    tensors = list_tensors(folder)
    return Checkpoint(
        folder=folder,
        family=family,
        config=config,
        tensors=tensors,
        info=describe(
            decoder_config,
            family,
            num_parameters=sum(tensor.size for tensor in tensors.values()),
            dtype=_main_dtype(tensors),
            generation=_read_optional(folder, "generation_config.json"),
        ),
    )


def _refuse_remote_code(folder: Path, raw_config: Mapping[str, object]) -> None:
    configs = {
        "config.json": raw_config,
        "tokenizer_config.json": _read_optional(folder, "tokenizer_config.json"),
    }
    for name, values in configs.items():
        if values.get("auto_map"):
            raise ModelLoadError(
                f"{name!r} asks to run the checkpoint's own code: {values['auto_map']!r}.",
                remedy="Choose a checkpoint without auto_map; weft never runs remote code.",
            )


def _check_tokenizer(folder: Path) -> None:
    for names in _TOKENIZERS:
        if all((folder / name).exists() for name in names):
            for name in names:
                safe_file(folder, name)
            return
    raise ModelLoadError(
        f"{str(folder)!r} has no tokenizer.", remedy="Put its tokenizer.json next to config.json."
    )


def _read_config(folder: Path) -> PreTrainedConfig:
    load = AutoConfig.from_pretrained  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]
    try:
        config = cast(
            PreTrainedConfig, load(folder, trust_remote_code=False, local_files_only=True)
        )
    # transformers validates with several libraries; whatever they raise, the config is at fault.
    except Exception as error:
        raise ModelLoadError(
            f"'config.json' is not a valid configuration: {error}",
            remedy="Download the checkpoint again.",
        ) from error
    return config


def _read_optional(folder: Path, name: str) -> dict[str, object]:
    return read_json(safe_file(folder, name)) if (folder / name).exists() else {}


def _main_dtype(tensors: Mapping[str, StoredTensor]) -> str:
    sizes: Counter[str] = Counter()
    for tensor in tensors.values():
        sizes[tensor.dtype] += tensor.size
    if not sizes:
        raise ModelLoadError(
            "The checkpoint holds no tensor.", remedy="Download the checkpoint again."
        )
    return _DTYPE_NAMES[max(sizes, key=lambda dtype: sizes[dtype])]

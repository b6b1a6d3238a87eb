"""Checkpoints: what loads gives the same logits, what is wrong is refused by name."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file  # pyright: ignore

from tests.unit.runtime.engine.model.cases import (
    CASES,
    Packer,
    config_of,
    random_model,
    random_sequences,
    reference_logits,
)
from weft.errors import ModelLoadError
from weft.runtime.engine.model import FAMILIES, ModelRunner, open_checkpoint, resolve_source

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
DOWN = "model.layers.1.mlp.down_proj.weight"


def save(folder: Path, name: str = "qwen3", **options: object) -> Path:
    model = random_model(config_of(name), 0)
    model.save_pretrained(folder, **options)  # type: ignore[arg-type]
    (folder / "tokenizer.json").write_text("{}")
    return folder


def edit_json(file: Path, **changes: object) -> None:
    values: dict[str, object] = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(values | changes))


def edit_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def refusal(source: str | Path) -> str:
    with pytest.raises(ModelLoadError) as caught:
        ModelRunner.load(source, device="cpu", dtype="float32")
    assert caught.value.remedy
    return str(caught.value)


@pytest.mark.parametrize("name", CASES)
def test_what_transformers_saved_gives_its_logits(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    folder = save(tmp_path, name)
    runner = ModelRunner.load(folder, device="cpu")
    sequences = random_sequences(rng, [12])
    [got] = Packer(runner, sequences, rng).run([{0: (0, 12)}])
    wanted = reference_logits(random_model(config_of(name), 0), sequences[0])
    assert (got - wanted).abs().max() < 1e-4


def test_shards_are_read_through_their_index(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    folder = save(tmp_path, max_shard_size="100KB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    runner = ModelRunner.load(str(folder), device="cpu")
    sequences = random_sequences(rng, [6])
    [got] = Packer(runner, sequences, rng).run([{0: (0, 6)}])
    wanted = reference_logits(random_model(config_of("qwen3"), 0), sequences[0])
    assert (got - wanted).abs().max() < 1e-4


def test_info_says_what_the_checkpoint_is(tmp_path: Path) -> None:
    folder = save(tmp_path)
    edit_json(
        folder / "generation_config.json", eos_token_id=[5, 6], temperature=0.6, do_sample=True
    )
    edit_tensors(
        folder, lambda tensors: tensors.update({k: v.bfloat16() for k, v in tensors.items()})
    )
    info = open_checkpoint(folder).info
    assert (info.model_type, info.architecture) == ("qwen3", "Qwen3ForCausalLM")
    assert (info.num_layers, info.num_heads, info.num_kv_heads, info.head_dim) == (3, 4, 2, 24)
    assert (info.hidden_size, info.vocab_size, info.max_context) == (64, 97, 64)
    assert info.num_parameters == sum(
        p.numel() for p in random_model(config_of("qwen3"), 0).parameters()
    )
    assert info.dtype == "bfloat16"
    assert info.eos_ids == (5, 6)
    assert dict(info.generation_defaults) == {"temperature": 0.6, "do_sample": True}


def test_an_explicit_dtype_is_honoured(tmp_path: Path) -> None:
    folder = save(tmp_path)
    assert ModelRunner.load(folder, device="cpu", dtype="bfloat16").dtype == torch.bfloat16
    assert ModelRunner.load(folder, device="cpu", dtype="float32").dtype == torch.float32


def test_dtype_and_device_outside_the_choices_are_refused(tmp_path: Path) -> None:
    folder = save(tmp_path)
    with pytest.raises(ModelLoadError, match="'float8'"):
        ModelRunner.load(folder, dtype="float8")  # type: ignore[arg-type] # pyright: ignore
    with pytest.raises(ModelLoadError, match="'tpu'"):
        ModelRunner.load(folder, device="tpu")  # type: ignore[arg-type] # pyright: ignore


@pytest.mark.parametrize("source", ["no/such/folder", "nowhere", "../nowhere"])
def test_a_source_that_is_nothing_is_refused(source: str) -> None:
    assert repr(source) in refusal(source)


def test_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / WEIGHTS
    file.write_bytes(b"")
    assert "is a file" in refusal(file)


def test_unknown_types_are_refused_naming_the_supported_ones(tmp_path: Path) -> None:
    folder = save(tmp_path)
    edit_json(folder / "config.json", model_type="gpt2")
    message = refusal(folder)
    assert "'gpt2'" in message
    assert all(name in message for name in FAMILIES)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"hidden_size": "wide"}, "config.json"),
        ({"rope_parameters": {"rope_type": "longrope", "rope_theta": 1e4}}, "longrope"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "quantized"),
        ({"auto_map": {"AutoModelForCausalLM": "evil.Model"}}, "evil.Model"),
        ({"num_hidden_layers": 4}, "model.layers.3."),
        ({"num_hidden_layers": 2}, "model.layers.2."),
        ({"intermediate_size": 113}, "(113, 64)"),
    ],
)
def test_a_config_that_cannot_be_served_is_refused(
    tmp_path: Path, change: dict[str, object], named: str
) -> None:
    folder = save(tmp_path)
    edit_json(folder / "config.json", **change)
    if "num_hidden_layers" in change:
        edit_json(folder / "config.json", layer_types=None)
    assert named in refusal(folder)


def test_bidirectional_gemma_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path, "gemma3")
    edit_json(folder / "config.json", use_bidirectional_attention=True)
    assert "use_bidirectional_attention" in refusal(folder)


def test_a_tokenizer_that_wants_remote_code_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path)
    edit_json(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.T", None]})
    assert "tokenizer_config.json" in refusal(folder)


def test_a_missing_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path)
    (folder / "tokenizer.json").unlink()
    assert "no tokenizer" in refusal(folder)


@pytest.mark.parametrize("content", ["", "[]", "{", "\xff"])
def test_a_config_that_is_no_object_is_refused(tmp_path: Path, content: str) -> None:
    folder = save(tmp_path)
    (folder / "config.json").write_text(content, encoding="latin-1")
    assert "'config.json'" in refusal(folder)


def test_a_missing_config_is_refused(tmp_path: Path) -> None:
    assert "'config.json'" in refusal(tmp_path)


def test_pickle_weights_are_refused_by_name(tmp_path: Path) -> None:
    folder = save(tmp_path)
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")
    assert "pytorch_model.bin" in refusal(folder)


def test_missing_weights_are_refused(tmp_path: Path) -> None:
    folder = save(tmp_path)
    (folder / WEIGHTS).unlink()
    assert repr(WEIGHTS) in refusal(folder)


def test_a_missing_tensor_is_named_with_its_shape(tmp_path: Path) -> None:
    folder = save(tmp_path)
    edit_tensors(folder, lambda tensors: tensors.pop(DOWN))
    message = refusal(folder)
    assert repr(DOWN) in message
    assert "(64, 112)" in message


def test_a_misshaped_tensor_is_named_with_both_shapes(tmp_path: Path) -> None:
    folder = save(tmp_path)
    edit_tensors(folder, lambda tensors: tensors.update({DOWN: torch.zeros(64, 111)}))
    message = refusal(folder)
    assert repr(DOWN) in message
    assert "(64, 112)" in message and "(64, 111)" in message


def test_a_misshaped_expert_is_named(tmp_path: Path) -> None:
    folder = save(tmp_path, "mixtral")
    expert = "model.layers.0.block_sparse_moe.experts.2.w3.weight"
    edit_tensors(folder, lambda tensors: tensors.update({expert: torch.zeros(3, 64)}))
    message = refusal(folder)
    assert repr(expert) in message and "(112, 64)" in message


def test_a_tensor_without_a_place_is_named(tmp_path: Path) -> None:
    folder = save(tmp_path)
    edit_tensors(folder, lambda tensors: tensors.update({"model.extra": torch.zeros(1)}))
    assert "'model.extra'" in refusal(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_value_that_is_not_finite_is_located(tmp_path: Path, value: float) -> None:
    folder = save(tmp_path)

    def spoil(tensors: dict[str, torch.Tensor]) -> None:
        tensors[DOWN][2, 3] = value

    edit_tensors(folder, spoil)
    message = refusal(folder)
    assert repr(DOWN) in message
    assert f"{value!r} at flat index {2 * 112 + 3}" in message


def test_integers_are_refused_as_weights(tmp_path: Path) -> None:
    folder = save(tmp_path)
    edit_tensors(folder, lambda t: t.update({DOWN: t[DOWN].to(torch.int8)}))
    message = refusal(folder)
    assert repr(DOWN) in message and "'I8'" in message


@pytest.mark.parametrize("keep", [0, 7, 8, 100, -1, -5000])
def test_truncated_weights_are_refused(tmp_path: Path, keep: int) -> None:
    folder = save(tmp_path)
    file = folder / WEIGHTS
    file.write_bytes(file.read_bytes()[:keep])
    message = refusal(folder)
    assert repr(WEIGHTS) in message and "damaged" in message


def rewrite_header(file: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    data = file.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    change(header)
    raw = json.dumps(header).encode()
    file.write_bytes(len(raw).to_bytes(8, "little") + raw + data[8 + size :])


@pytest.mark.parametrize(
    "entry",
    [
        {},
        "F32",
        {"dtype": "F32", "shape": [64, 112], "data_offsets": [0]},
        {"dtype": "F32", "shape": [64, 112], "data_offsets": [-4, 28668]},
        {"dtype": "F32", "shape": [-64, -112], "data_offsets": [0, 28672]},
        {"dtype": "F32", "shape": [64, 112], "data_offsets": [0, 12]},
        {"dtype": "F32", "shape": ["a"], "data_offsets": [0, 4]},
    ],
)
def test_a_false_header_entry_is_refused(tmp_path: Path, entry: object) -> None:
    folder = save(tmp_path)
    rewrite_header(folder / WEIGHTS, lambda header: header.update({DOWN: entry}))
    assert DOWN in refusal(folder)


def test_overlapping_tensors_are_refused(tmp_path: Path) -> None:
    folder = save(tmp_path)
    other = "model.layers.0.mlp.down_proj.weight"
    rewrite_header(folder / WEIGHTS, lambda header: header.update({DOWN: header[other]}))
    assert "damaged" in refusal(folder)


@pytest.mark.parametrize("shard", ["../outside.safetensors", "/etc/passwd", "a\\b", "..", ""])
def test_an_index_that_leaves_the_folder_is_refused(tmp_path: Path, shard: str) -> None:
    folder = save(tmp_path / "model")
    (folder / WEIGHTS).rename(tmp_path / "outside.safetensors")
    edit_json(folder / INDEX, weight_map={DOWN: shard})
    assert "outside its folder" in refusal(folder)


def test_an_index_that_misplaces_a_tensor_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path)
    edit_json(folder / INDEX, weight_map={"model.nowhere": WEIGHTS})
    assert "'model.nowhere'" in refusal(folder)


def test_an_index_without_a_map_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path)
    edit_json(folder / INDEX, weight_map=[])
    assert "weight_map" in refusal(folder)


@pytest.mark.parametrize("name", [WEIGHTS, "config.json", "tokenizer.json"])
def test_links_out_of_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    folder = save(tmp_path / "model")
    (folder / name).rename(tmp_path / name)
    os.symlink(tmp_path / name, folder / name)
    assert "links outside" in refusal(folder)


def test_links_inside_a_hub_cache_are_followed(tmp_path: Path) -> None:
    repository = tmp_path / "models--some--model"
    folder = save(repository / "snapshots" / "abc")
    (repository / "blobs").mkdir()
    (folder / WEIGHTS).rename(repository / "blobs" / "123")
    os.symlink("../../blobs/123", folder / WEIGHTS)
    assert ModelRunner.load(folder, device="cpu").vocab_size == 97


def test_a_linked_folder_is_itself(tmp_path: Path) -> None:
    folder = save(tmp_path / "model")
    os.symlink(folder, tmp_path / "link")
    assert resolve_source(tmp_path / "link") == folder.resolve()

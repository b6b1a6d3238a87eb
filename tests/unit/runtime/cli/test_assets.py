from __future__ import annotations

import hashlib
import json
from pathlib import Path

from weft.runtime.cli.assets import mini_problem


def bundle(folder: Path) -> Path:
    weights = folder / "model.safetensors"
    weights.write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    (folder / "checksums.json").write_text(json.dumps({weights.name: digest}))
    return weights


def test_whole_model_has_no_problem(tmp_path: Path) -> None:
    bundle(tmp_path)
    assert mini_problem(tmp_path) == ""


def test_each_loss_is_named(tmp_path: Path) -> None:
    weights = bundle(tmp_path)
    weights.write_bytes(b"weight5")
    assert mini_problem(tmp_path) == "model.safetensors is damaged"
    weights.unlink()
    assert mini_problem(tmp_path) == "model.safetensors is missing"
    (tmp_path / "checksums.json").unlink()
    assert mini_problem(tmp_path) == f"no checksums.json in {tmp_path}"
    assert mini_problem(tmp_path / "nowhere") == "not here"

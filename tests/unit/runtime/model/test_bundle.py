from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from weft.runtime.model.bundle import damage_of, write_checksums


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "README.md").write_text("card")
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"weights")
    write_checksums(tmp_path)
    return file


def test_record_holds_what_an_engine_reads(weights: Path) -> None:
    assert json.loads((weights.parent / "checksums.json").read_text()) == {
        "config.json": hashlib.sha256(b"{}").hexdigest(),
        "model.safetensors": hashlib.sha256(b"weights").hexdigest(),
    }


def test_whole_model_has_no_damage_however_often_it_is_recorded(weights: Path) -> None:
    write_checksums(weights.parent)
    (weights.parent / "README.md").write_text("another card")
    assert damage_of(weights.parent) == ""


def test_each_loss_is_named(weights: Path) -> None:
    folder = weights.parent
    weights.write_bytes(b"weight5")
    assert damage_of(folder) == "model.safetensors is damaged"
    weights.unlink()
    assert damage_of(folder) == "model.safetensors is missing"
    write_checksums(folder)
    assert damage_of(folder) == "checksums.json names no weights"
    (folder / "checksums.json").unlink()
    assert damage_of(folder) == f"no checksums.json in {folder}"
    assert damage_of(folder / "nowhere") == "not here"

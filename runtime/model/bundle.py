"""The bundled model's files: where they are, and whether they are as they were exported."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

__all__ = ["MINI", "damage_of", "write_checksums"]

MINI = Path(__file__).parents[1] / "assets" / "mini"
CHECKSUMS = "checksums.json"
"""File name to SHA-256 of everything an engine reads."""
PATTERNS = ("*.safetensors", "*.json", "*.jinja")


def write_checksums(folder: Path) -> Path:
    """Record the model's files as they are now, replacing an earlier record; gives its path."""
    files = sorted({file for pattern in PATTERNS for file in folder.glob(pattern)})
    digests = {file.name: _digest(file) for file in files if file.name != CHECKSUMS}
    path = folder / CHECKSUMS
    path.write_text(json.dumps(digests, indent=2) + "\n", encoding="utf-8")
    return path


def damage_of(folder: Path) -> str:
    """What is wrong with the model in a folder; empty when every file is as recorded."""
    path = folder / CHECKSUMS
    if not path.is_file():
        return f"no {CHECKSUMS} in {folder}" if folder.is_dir() else "not here"
    wanted: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    if not any(name.endswith(".safetensors") for name in wanted):
        return f"{CHECKSUMS} names no weights"
    for name, digest in wanted.items():
        file = folder / name
        if not file.is_file():
            return f"{name} is missing"
        if _digest(file) != digest:
            return f"{name} is damaged"
    return ""


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

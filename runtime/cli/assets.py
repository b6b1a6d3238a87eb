"""The model that ships with weft: where it is, and whether it is whole."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

__all__ = ["MINI", "mini_problem"]

MINI = Path(__file__).parents[1] / "assets" / "mini"
CHECKSUMS = "checksums.json"
"""File name to SHA-256, written when the model is exported."""


def mini_problem(folder: Path) -> str:
    """What is wrong with the model in a folder; empty when every file is as it was exported."""
    listing = folder / CHECKSUMS
    if not listing.is_file():
        return f"no {CHECKSUMS} in {folder}" if folder.is_dir() else "not here"
    wanted: dict[str, str] = json.loads(listing.read_text(encoding="utf-8"))
    for name, digest in wanted.items():
        file = folder / name
        if not file.is_file():
            return f"{name} is missing"
        if hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            return f"{name} is damaged"
    return ""

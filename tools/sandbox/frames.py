"""What the runner and its launcher say to each other: frames of JSON and raw bytes."""

from __future__ import annotations

import json
import struct
from typing import Any, NamedTuple

__all__ = ["PREFIX_BYTES", "Frame", "pack", "unpack_sizes"]

SIZES = struct.Struct(">II")
PREFIX_BYTES = SIZES.size


class Frame(NamedTuple):
    """A JSON object and the raw bytes that belong to it."""

    head: dict[str, Any]
    body: bytes


def pack(head: dict[str, Any], body: bytes = b"") -> bytes:
    """One frame: two lengths, a JSON object, raw bytes."""
    text = json.dumps(head).encode()
    return SIZES.pack(len(text), len(body)) + text + body


def unpack_sizes(prefix: bytes) -> tuple[int, int]:
    """The lengths of the JSON object and of the raw bytes, from a frame's first 8 bytes."""
    head_bytes, body_bytes = SIZES.unpack(prefix)
    return head_bytes, body_bytes

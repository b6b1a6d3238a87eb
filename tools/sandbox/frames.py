"""What the runner and its launcher say to each other: frames of JSON and raw bytes."""

from __future__ import annotations

import json
import os
import struct
from typing import Any, NamedTuple

__all__ = ["PREFIX_BYTES", "Frame", "FrameSource", "pack", "unpack_sizes"]

SIZES = struct.Struct(">II")
PREFIX_BYTES = SIZES.size
CHUNK = 1 << 16


class Frame(NamedTuple):
    """A JSON object and the raw bytes that belong to it."""

    head: dict[str, Any]
    body: bytes


def pack(head: dict[str, Any], body: bytes = b"") -> bytes:
    """One frame: two lengths, a JSON object, raw bytes."""
    text = json.dumps(head).encode()
    return SIZES.pack(len(text), len(body)) + text + body


def unpack_sizes(prefix: bytes | bytearray) -> tuple[int, int]:
    """The lengths of the JSON object and of the raw bytes, from a frame's first 8 bytes."""
    head_bytes, body_bytes = SIZES.unpack(prefix)
    return head_bytes, body_bytes


class FrameSource:
    """Frames from a descriptor, which may be polled: nothing is kept back but begun frames."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._held = bytearray()

    def next(self) -> Frame | None:
        """The next frame; blocks until it is whole. None: the sender has ended."""
        while (frame := self.pop()) is None:
            if not self.fill():
                return None
        return frame

    def fill(self) -> bool:
        """Take what the descriptor has, or wait for it; False: the sender has ended."""
        data = os.read(self.fd, CHUNK)
        self._held += data
        return bool(data)

    def pop(self) -> Frame | None:
        """The next frame where it is whole already."""
        if len(self._held) < PREFIX_BYTES:
            return None
        head_bytes, body_bytes = unpack_sizes(self._held[:PREFIX_BYTES])
        begin = PREFIX_BYTES + head_bytes
        if len(self._held) < begin + body_bytes:
            return None
        head: dict[str, Any] = json.loads(self._held[PREFIX_BYTES:begin])
        body = bytes(self._held[begin : begin + body_bytes])
        del self._held[: begin + body_bytes]
        return Frame(head, body)

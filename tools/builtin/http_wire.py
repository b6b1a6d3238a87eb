"""One HTTP/1.1 exchange over one connection, with a cap on what is read."""

from __future__ import annotations

import asyncio
import http.client
import io
import ssl
from dataclasses import dataclass
from email.message import Message
from typing import Protocol

from weft.errors import InvalidRequest
from weft.tools.builtin.http_address import Target, is_public

__all__ = ["InternetWire", "Response", "Wire", "exchange"]

MAX_HEAD_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What a server answered."""

    status: int
    headers: Message
    body: bytes
    is_truncated: bool
    """The body was longer than the cap."""


class Wire(Protocol):
    """Names to addresses, and addresses to connections."""

    async def resolve(self, host: str, port: int) -> list[str]:
        """All addresses of a host. Raises OSError."""
        ...

    async def connect(
        self, address: str, target: Target
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to this very address. Raises OSError."""
        ...


class InternetWire:
    """The machine's own name service and network, without proxies."""

    async def resolve(self, host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=1)
        return list(dict.fromkeys(str(one[4][0]) for one in found))

    async def connect(
        self, address: str, target: Target
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        is_safe = target.scheme == "https"
        return await asyncio.open_connection(
            address,
            target.port,
            limit=MAX_HEAD_BYTES,
            ssl=ssl.create_default_context() if is_safe else None,
            server_hostname=target.host if is_safe else None,
        )


async def exchange(
    wire: Wire, target: Target, method: str, headers: dict[str, str], body: bytes, max_bytes: int
) -> Response:
    """Send one request to the address that was looked at, and read what comes back.

    Raises InvalidRequest for a host that lies, in part, outside of the public internet; OSError,
    EOFError and ValueError for what a network or a server does wrong.
    """
    addresses = await wire.resolve(target.host, target.port)
    if not addresses or not all(map(is_public, addresses)):
        raise InvalidRequest(
            f"{target.host} is not on the public internet.", remedy="Choose another host."
        )
    reader, writer = await wire.connect(addresses[0], target)
    try:
        writer.write(_head(target, method, headers, body) + body)
        await writer.drain()
        return await _read(reader, method, max_bytes)
    finally:
        writer.transport.abort()


def _head(target: Target, method: str, headers: dict[str, str], body: bytes) -> bytes:
    lines = {
        "Host": target.authority,
        "Connection": "close",
        "Accept-Encoding": "identity",
        "User-Agent": "weft",
        **headers,
    }
    if method == "POST":
        lines["Content-Length"] = str(len(body))
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {target.path} HTTP/1.1\r\n{text}\r\n".encode("ascii")


async def _read(reader: asyncio.StreamReader, method: str, max_bytes: int) -> Response:
    status = 100
    headers = Message()
    while 100 <= status < 200:
        head = await reader.readuntil(b"\r\n\r\n")
        line, _, rest = head.partition(b"\r\n")
        version, _, after = line.decode("latin-1").partition(" ")
        status = int(after[:3])
        if not version.startswith("HTTP/1.") or not 100 <= status < 600:
            raise ValueError("it speaks no HTTP/1.1")
        headers = http.client.parse_headers(io.BytesIO(rest))
    body, is_truncated = await _read_body(reader, status, headers, max_bytes)
    return Response(status=status, headers=headers, body=body, is_truncated=is_truncated)


async def _read_body(
    reader: asyncio.StreamReader, status: int, headers: Message, max_bytes: int
) -> tuple[bytes, bool]:
    if status in (204, 304):
        return b"", False
    if headers.get("Transfer-Encoding", "").lower() == "chunked":
        return await _read_chunks(reader, max_bytes)
    length = headers.get("Content-Length")
    if length is None:
        data = await _read_up_to(reader, max_bytes + 1)
        return data[:max_bytes], len(data) > max_bytes
    size = int(length)
    if size < 0:
        raise ValueError(f"its length is {size}")
    wanted = min(size, max_bytes)
    return await reader.readexactly(wanted), size > wanted


async def _read_chunks(reader: asyncio.StreamReader, max_bytes: int) -> tuple[bytes, bool]:
    data = bytearray()
    while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
        if size < 0:
            raise ValueError(f"a chunk's length is {size}")
        data += await reader.readexactly(min(size, max_bytes + 1 - len(data)))
        if len(data) > max_bytes:
            return bytes(data[:max_bytes]), True
        await reader.readexactly(2)
    return bytes(data), False


async def _read_up_to(reader: asyncio.StreamReader, max_bytes: int) -> bytes:
    data = bytearray()
    while len(data) < max_bytes and (more := await reader.read(max_bytes - len(data))):
        data += more
    return bytes(data)

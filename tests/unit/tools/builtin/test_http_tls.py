"""https: who the server is, is proved before anything is sent."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from weft.errors import ToolFailed
from weft.tools.builtin import HttpOptions, Page, http_tools
from weft.tools.builtin.http_address import Target
from weft.tools.builtin.http_wire import InternetWire

PUBLIC = "93.184.216.34"


class ToLocal(InternetWire):
    """The machine's own network, but every address leads to one local server."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.num_asked = 0
        """Requests that reached the server."""

    async def resolve(self, host: str, port: int) -> list[str]:
        return [PUBLIC]

    async def connect(
        self, address: str, target: Target
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        assert address == PUBLIC
        return await super().connect("127.0.0.1", target._replace(port=self._port))


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """The one that this machine trusts."""
    made = trustme.CA()
    path = tmp_path / "authority.pem"
    made.cert_pem.write_to_path(path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    return made


@asynccontextmanager
async def serving(certificate: trustme.LeafCert | None) -> AsyncGenerator[ToLocal]:
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            wire.num_asked += await reader.readexactly(4) == b"GET "
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret")
            await writer.drain()
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    wire = ToLocal(server.sockets[0].getsockname()[1])
    try:
        yield wire
    finally:
        server.close()
        await server.wait_closed()


async def fetch(wire: ToLocal) -> Page:
    [tool] = http_tools(HttpOptions(hosts=("a.example",), timeout_s=5.0), wire)
    page: Page = await tool.invoke({"url": "https://a.example/"})
    return page


async def test_a_server_that_proves_its_name_is_read(authority: trustme.CA) -> None:
    async with serving(authority.issue_cert("a.example")) as wire:
        assert (await fetch(wire)).text == "secret"


@pytest.mark.parametrize("fault", ["another name", "expired", "unknown authority", "no TLS"])
async def test_any_other_is_told_nothing(authority: trustme.CA, fault: str) -> None:
    certificates = {
        "another name": authority.issue_cert("b.example"),
        "expired": authority.issue_cert("a.example", not_after=datetime(2020, 1, 1, tzinfo=UTC)),
        "unknown authority": trustme.CA().issue_cert("a.example"),
        "no TLS": None,
    }
    async with serving(certificates[fault]) as wire:
        with pytest.raises(ToolFailed, match="could not be fetched") as failed:
            await fetch(wire)
        assert wire.num_asked == 0
    if fault != "no TLS":
        assert "certificate" in failed.value.what

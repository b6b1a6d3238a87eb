"""Pages of allowed hosts, from a server that answers as a test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from weft.errors import InvalidRequest, ToolFailed, ToolTimeout
from weft.tools.builtin import HttpOptions, Page, http_tools
from weft.tools.builtin.http_address import Target, is_public, parse_url
from weft.tools.builtin.http_wire import InternetWire

PUBLIC = "93.184.216.34"


class LocalWire:
    """A name service that says what a test wants, and a network that leads to one local server."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self.addresses = {"a.example": [PUBLIC], "b.example": [PUBLIC]}
        self.requests: list[bytes] = []
        self.connected: list[tuple[str, str, int]] = []
        self._answer = answer
        self.port = 0

    async def resolve(self, host: str, port: int) -> list[str]:
        if host not in self.addresses:
            raise OSError("unknown name")
        return self.addresses[host]

    async def connect(
        self, address: str, target: Target
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self.connected.append((address, target.scheme, target.port))
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            body = await reader.readexactly(int(length or 0))
            self.requests.append(head + body)
            data = self._answer(head + body)
            if data == b"hang":
                await reader.read()
            writer.write(data)
            await writer.drain()
        except (OSError, EOFError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(answer: Callable[[bytes], bytes] | bytes) -> AsyncGenerator[LocalWire]:
    wire = LocalWire((lambda _: answer) if isinstance(answer, bytes) else answer)
    server = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()
        await server.wait_closed()


def ok(body: bytes, head: str = "") -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{head}\r\n".encode() + body


def moved(location: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


async def fetch(wire: LocalWire, url: str, **options: Any) -> Page:
    body = options.pop("body", None)
    chosen = replace(HttpOptions(hosts=("a.example",), timeout_s=5.0), **options)
    tools = {tool.name: tool for tool in http_tools(chosen, wire)}
    if body is None:
        page: Page = await tools["http_get"].invoke({"url": url})
    else:
        page = await tools["http_post"].invoke({"url": url, "body": body})
    return page


async def test_a_page_is_fetched_from_the_address_that_was_looked_at() -> None:
    async with serving(ok("é!".encode(), "Content-Type: text/plain; charset=utf-8\r\n")) as wire:
        page = await fetch(wire, "https://a.example/x/y?q=1#part")
    assert page == Page(
        status=200,
        url="https://a.example/x/y?q=1#part",
        content_type="text/plain; charset=utf-8",
        text="é!",
        is_truncated=False,
    )
    assert wire.connected == [(PUBLIC, "https", 443)]
    lines = wire.requests[0].decode().split("\r\n")
    assert lines[0] == "GET /x/y?q=1 HTTP/1.1"
    assert {"Host: a.example", "Connection: close"} <= set(lines)
    assert not any(line.lower().startswith(("cookie", "authorization")) for line in lines)


async def test_nothing_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with serving(ok(b"direct")) as wire:
        assert (await fetch(wire, "http://a.example/")).text == "direct"


CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"
)


@pytest.mark.parametrize(
    ("answer", "text", "is_truncated"),
    [
        (CHUNKED, "abcde", False),
        (b"HTTP/1.0 200 OK\r\n\r\nto the end", "to the end", False),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + ok(b"x"), "x", False),
        (b"HTTP/1.1 204 None\r\n\r\n", "", False),
        (ok(b"x" * 11), "x" * 10, True),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 11, "x" * 10, True),
        (CHUNKED.replace(b"3\r\nabc", b"B\r\nabcdefghijk"), "abcdefghij", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n" + b"x" * 99, "x" * 10, True),
        (ok(b"\xff", "Content-Type: text/x; charset=nonsense\r\n"), "\ufffd", False),
        (ok(b"abc", "Content-Type: text/x; charset=utf-16\r\n"), "\u6261\ufffd", False),
    ],
)
async def test_bodies_of_every_kind_up_to_the_cap(
    answer: bytes, text: str, is_truncated: bool
) -> None:
    async with serving(answer) as wire:
        page = await fetch(wire, "http://a.example/", max_bytes=10)
    assert (page.text, page.is_truncated) == (text, is_truncated)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n",
    ],
)
async def test_a_server_that_speaks_nonsense_is_told_of(answer: bytes) -> None:
    async with serving(answer) as wire:
        with pytest.raises(ToolFailed, match="could not be fetched"):
            await fetch(wire, "http://a.example/")


async def test_a_server_that_hangs_takes_no_longer_than_allowed() -> None:
    async with serving(b"hang") as wire:
        with pytest.raises(ToolTimeout, match=r"within 0\.05 s"):
            await fetch(wire, "http://a.example/", timeout_s=0.05)


async def test_redirects_are_followed_on_the_same_host_only() -> None:
    def answer(request: bytes) -> bytes:
        path = request.split()[1]
        return {b"/1": moved("2"), b"/2": moved("http://a.example/3"), b"/3": ok(b"here")}[path]

    async with serving(answer) as wire:
        page = await fetch(wire, "http://a.example/1")
        assert (page.url, page.text, len(wire.requests)) == ("http://a.example/3", "here", 3)


@pytest.mark.parametrize(
    "location",
    [
        "http://b.example/",
        "http://a.example:8080/",
        "http://127.0.0.1/",
        "file:///etc/passwd",
        "http://user@a.example/",
    ],
)
async def test_redirects_elsewhere_are_told_and_not_followed(location: str) -> None:
    async with serving(moved(location)) as wire:
        page = await fetch(wire, "http://a.example/", hosts=("a.example", "b.example"))
    assert (page.status, page.location, len(wire.requests)) == (302, location, 1)


async def test_redirects_without_end_end() -> None:
    async with serving(moved("/")) as wire:
        with pytest.raises(ToolFailed, match="after 5 times"):
            await fetch(wire, "http://a.example/")
    assert len(wire.requests) == 6


async def test_posting_is_off_unless_told_and_is_never_redirected() -> None:
    options = HttpOptions(hosts=("a.example",))
    assert [tool.name for tool in http_tools(options)] == ["http_get"]
    effects = {
        tool.name: tool.effect for tool in http_tools(HttpOptions(hosts=("a",), can_post=True))
    }
    assert effects == {"http_get": "read", "http_post": "write"}
    async with serving(moved("/", 307)) as wire:
        page = await fetch(wire, "http://a.example/", body='{"é": 1}', can_post=True)
    assert (page.status, page.location) == (307, "http://a.example/")
    assert wire.requests[0].endswith('\r\n\r\n{"é": 1}'.encode()) and len(wire.requests) == 1
    assert b"Content-Type: application/json\r\n" in wire.requests[0]


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["10.1.2.3"], [PUBLIC, "192.168.0.1"], ["::1"], ["169.254.169.254"], []],
)
async def test_a_host_that_leads_inside_is_never_connected_to(addresses: list[str]) -> None:
    async with serving(ok(b"secret")) as wire:
        wire.addresses["a.example"] = addresses
        with pytest.raises(ToolFailed, match="public internet"):
            await fetch(wire, "http://a.example/")
    assert wire.connected == []


async def test_each_request_is_looked_at_again() -> None:
    """A name that turns inwards between a page and its redirect leads nowhere."""
    async with serving(moved("/next")) as wire:

        async def resolve(host: str, port: int) -> list[str]:
            return ["127.0.0.1"] if wire.requests else [PUBLIC]

        wire.resolve = resolve  # type: ignore[method-assign]
        with pytest.raises(ToolFailed, match="public internet"):
            await fetch(wire, "http://a.example/")
    assert len(wire.connected) == 1


async def test_an_unknown_name_is_told_of() -> None:
    async with serving(b"") as wire:
        with pytest.raises(ToolFailed, match="unknown name"):
            await fetch(wire, "http://c.example/", hosts=("c.example",))


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "127.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:0:7f00:1::",
        "localhost",
        "",
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", [PUBLIC, "2606:2800:220:1::1", "64:ff9b::5db8:d822"])
def test_addresses_that_are(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://b.example/",
        "http://a.example.evil.example/",
        "http://evil.example/a.example",
        "http://a.example@evil.example/",
        "http://user:word@a.example/",
        "http://a.example:8080/",
        "https://a.example:80/",
        "ftp://a.example/",
        "//a.example/",
        "a.example",
        "http:///",
        "http://a.example\\@evil.example/",
        "http://a.example/\r\nHost: evil",
        "http://a.example/ x",
        "http://[::1/",
        "http://a.example:x/",
        "http://ａ.example/",
        "http://a.example/" + "x" * 5000,
    ],
)
def test_addresses_that_are_refused(url: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_url(url, ("a.example",))


@pytest.mark.parametrize(
    ("url", "hosts", "target"),
    [
        ("http://A.Example.", ("a.example",), ("http", "a.example", 80, "/")),
        ("https://a.example:443/x", ("A.example",), ("https", "a.example", 443, "/x")),
        (
            "http://a.example:81/%20?a=b%26",
            ("a.example:81",),
            ("http", "a.example", 81, "/%20?a=b%26"),
        ),
    ],
)
def test_addresses_that_are_fine(
    url: str, hosts: tuple[str, ...], target: tuple[str, str, int, str]
) -> None:
    assert parse_url(url, hosts) == target


@pytest.mark.parametrize(
    "wrong", [{"hosts": ()}, {"hosts": ("*.example",)}, {"hosts": ("http://a",)}]
)
def test_options_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        HttpOptions(**wrong)
    with pytest.raises(InvalidRequest, match="max_bytes"):
        HttpOptions(hosts=("a",), max_bytes=0)


async def test_the_machines_own_network_connects_to_the_address_it_is_given() -> None:
    async with serving(ok(b"here")) as local:
        wire = InternetWire()
        assert "127.0.0.1" in await wire.resolve("127.0.0.1", local.port)
        target = Target("http", "name.example", local.port, "/")
        reader, writer = await wire.connect("127.0.0.1", target)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert (await reader.read()).endswith(b"here")
        writer.close()
        await writer.wait_closed()

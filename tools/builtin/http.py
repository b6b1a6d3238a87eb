"""Pages of hosts that the program's author has listed, fetched for a model."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, Literal
from urllib.parse import urljoin

from weft.errors import InvalidRequest, ToolFailed, ToolTimeout
from weft.tools.builtin.http_address import Target, parse_url
from weft.tools.builtin.http_wire import InternetWire, Response, Wire, exchange
from weft.tools.problems import describe_error
from weft.tools.tool import Tool, as_tool

__all__ = ["HttpOptions", "Page", "http_tools"]

PROBLEMS = (OSError, EOFError, ValueError, asyncio.LimitOverrunError, HTTPException)
MOVED = frozenset({301, 302, 303, 307, 308})
Method = Literal["GET", "POST"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """What may be fetched. Raises InvalidRequest at construction."""

    hosts: tuple[str, ...]
    """Each ``name``, on the usual port, or ``name:port``; nothing else is reached."""
    can_post: bool = False
    """Data may leave: whoever reads a hostile page may be told to send what it knows."""
    max_bytes: int = 1 << 20
    """Of an answer's body; the rest is not read."""
    max_chars: int = 20_000
    """Shown to the model."""
    timeout_s: float = 20.0
    """For the whole call, with all redirects."""
    max_redirects: int = 5

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_chars", "timeout_s", "max_redirects"):
            value: float = getattr(self, name)
            if not 0 < value < math.inf:
                raise InvalidRequest(f"{name} is {value!r}.", remedy="It must be positive.")
        if not self.hosts or any("/" in host or "*" in host for host in self.hosts):
            raise InvalidRequest(
                f"hosts is {self.hosts!r}.", remedy='List names of hosts: ("docs.python.org",).'
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a host answered."""

    status: int
    url: str
    """Where it came from, behind redirects."""
    content_type: str
    text: str
    """The body as text, cut at its end."""
    is_truncated: bool
    location: str = ""
    """Where the host sends one that was not followed: to another host, or after a POST."""


def http_tools(options: HttpOptions, wire: Wire | None = None) -> tuple[Tool[..., Any], ...]:
    """The tool http_get, and http_post if that is allowed, for the hosts of ``options``.

    A host is looked up once per request, refused unless all its addresses are public, and the
    very address that was looked at is connected to. Neither proxies nor credentials of this
    process are used. Redirects are followed on the same host only.
    """
    client = _Client(options, wire or InternetWire())
    hosts = ", ".join(options.hosts)

    async def http_get(url: str) -> Page:
        return await client.fetch("http_get", "GET", url)

    async def http_post(url: str, body: str, content_type: str = "application/json") -> Page:
        return await client.fetch("http_post", "POST", url, body, content_type)

    tools: list[Tool[..., Any]] = [
        as_tool(
            http_get,
            effect="read",
            description=f"Fetch a page as text. Hosts that can be reached: {hosts}.",
            timeout_s=options.timeout_s + 1,
        )
    ]
    if options.can_post:
        post = as_tool(
            http_post,
            effect="write",
            description=f"Send text with an HTTP POST. Hosts that can be reached: {hosts}.",
            timeout_s=options.timeout_s + 1,
        )
        tools.append(post)
    return tuple(tools)


class _Client:
    def __init__(self, options: HttpOptions, wire: Wire) -> None:
        self._options = options
        self._wire = wire

    async def fetch(
        self, tool: str, method: Method, url: str, body: str = "", content_type: str = ""
    ) -> Page:
        """Raises ToolFailed and ToolTimeout in the tool's name."""
        try:
            async with asyncio.timeout(self._options.timeout_s):
                return await self._follow(method, url, body.encode(), content_type)
        except InvalidRequest as error:
            raise ToolFailed(error.what, tool=tool, remedy=error.remedy) from error
        except TimeoutError as error:
            told = f"{url!r} gave no whole answer within {self._options.timeout_s:g} s."
            raise ToolTimeout(
                told, tool=tool, remedy="Try again later, or ask for less."
            ) from error
        except PROBLEMS as error:
            told = f"{url!r} could not be fetched: {describe_error(error)}."
            raise ToolFailed(told, tool=tool, remedy="Check the address.") from error

    async def _follow(self, method: Method, url: str, body: bytes, content_type: str) -> Page:
        target = parse_url(url, self._options.hosts)
        headers = {"Content-Type": _checked(content_type)} if method == "POST" else {}
        for _ in range(self._options.max_redirects + 1):
            response = await exchange(
                self._wire, target, method, headers, body, self._options.max_bytes
            )
            location = response.headers.get("Location", "")
            if response.status not in MOVED or not location:
                return self._page(url, response, "")
            url_there = urljoin(url, location)
            there = self._same_host(url_there, target) if method == "GET" else None
            if there is None:
                return self._page(url, response, url_there)
            url, target = url_there, there
        raise InvalidRequest(
            f"{url!r} is still redirected after {self._options.max_redirects} times."
        )

    def _same_host(self, url: str, before: Target) -> Target | None:
        try:
            target = parse_url(url, self._options.hosts)
        except InvalidRequest:
            return None
        is_same = (target.scheme, target.host, target.port) == before[:3]
        is_safer = target.host == before.host and (before.scheme, target.scheme) == (
            "http",
            "https",
        )
        return target if is_same or is_safer else None

    def _page(self, url: str, response: Response, location: str) -> Page:
        content_type = response.headers.get("Content-Type", "")
        text = _decoded(response.body, response.headers.get_content_charset("utf-8"))
        max_chars = self._options.max_chars
        return Page(
            status=response.status,
            url=url,
            content_type=_clean(content_type),
            text=text[:max_chars],
            is_truncated=response.is_truncated or len(text) > max_chars,
            location=_clean(location),
        )


def _checked(content_type: str) -> str:
    if not content_type.isascii() or not content_type.isprintable():
        raise InvalidRequest(f"The content type is {content_type!r}.")
    return content_type


def _decoded(body: bytes, charset: str) -> str:
    try:
        return _clean(body.decode(charset, "replace"))
    except LookupError:
        return body.decode("utf-8", "replace")


def _clean(text: str) -> str:
    """Without half characters, which no record takes."""
    return text.encode(errors="replace").decode()

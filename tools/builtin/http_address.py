"""Which addresses a model may have fetched: listed names, on the public internet."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from weft.errors import InvalidRequest

__all__ = ["Target", "is_public", "parse_url"]

PORTS = {"http": 80, "https": 443}
MAX_URL_CHARS = 4096
NAT64 = IPv6Network("64:ff9b::/96")
"""Leads to the IPv4 address in its last 32 bits."""
SAFE = "/%:@!$&'()*+,;=~-._?"


class Target(NamedTuple):
    """An address taken apart."""

    scheme: str
    host: str
    port: int
    path: str
    """With the query, as it goes into a request."""

    @property
    def authority(self) -> str:
        """The host as a request names it."""
        return self.host if self.port == PORTS[self.scheme] else f"{self.host}:{self.port}"


def parse_url(url: str, hosts: Collection[str]) -> Target:
    """Take an address apart whose host is one of ``hosts``, each ``name`` or ``name:port``.

    Raises InvalidRequest for another host or port, a scheme but http and https, a user's name, and
    characters that some reader might take for something else.
    """
    if len(url) > MAX_URL_CHARS or not url.isascii() or not url.isprintable():
        raise InvalidRequest(
            f"The address is {url[:100]!r}.",
            remedy=f"Use printable ASCII, at most {MAX_URL_CHARS} characters.",
        )
    if any(character in url for character in " \\"):
        raise InvalidRequest(f"The address is {url!r}.", remedy="Write spaces as %20.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidRequest(f"The address {url!r} is none: {error}.") from error
    host = (parts.hostname or "").rstrip(".")
    if parts.scheme not in PORTS or not host or "@" in parts.netloc:
        raise InvalidRequest(
            f"The address is {url!r}.", remedy="It is http:// or https://, a host, and a path."
        )
    port = port or PORTS[parts.scheme]
    if not _is_allowed(host, port, parts.scheme, hosts):
        raise InvalidRequest(
            f"{host}:{port} is not allowed.",
            remedy=f"Allowed are {', '.join(sorted(hosts)) or 'none'}.",
        )
    path = quote(parts.path or "/", safe=SAFE)
    query = f"?{quote(parts.query, safe=SAFE)}" if parts.query else ""
    return Target(parts.scheme, host, port, path + query)


def _is_allowed(host: str, port: int, scheme: str, hosts: Collection[str]) -> bool:
    wanted = {f"{host}:{port}", host} if port == PORTS[scheme] else {f"{host}:{port}"}
    return any(one.lower() in wanted for one in hosts)


def is_public(address: str) -> bool:
    """Whether an address belongs to the public internet, and leads nowhere else in disguise."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    inner = _inner(found) if isinstance(found, IPv6Address) else ()
    return all(one.is_global and not one.is_multicast for one in (found, *inner))


def _inner(address: IPv6Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses that an IPv6 address stands for."""
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    if address.teredo is not None:
        return address.teredo
    return (IPv4Address(int(address) & 0xFFFFFFFF),) if address in NAT64 else ()

"""Which redirects are followed, and with what: nothing of the client leaves its host. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

_STATUSES = frozenset({301, 302, 303, 307, 308})
_FORWARDED_HEADERS = frozenset({"accept", "accept-encoding", "range", "if-range"})


def redirect(request: Mapping[str, Any], status: int, location: str | None) -> dict[str, Any] | None:
    """Returns the request that a redirect leads to, or None if following it is impossible or would disclose something.

    Another origin gets no key, headers or query of the client, and no body unless it is a file for a storage provider.
    """
    if status not in _STATUSES or not location:
        return None
    origin, target = urlsplit(request["url"]), _split(request["url"], location)
    if target is None or target.scheme not in {origin.scheme, "https"} & {"http", "https"} or _is_link_local(target.hostname):
        return None
    next_request = {**request, "url": urljoin(request["url"], location), "query": {}}
    if request["anonymous"]:
        return next_request
    same_host = (origin.hostname, origin.port) == (target.hostname, target.port)
    if request["content"] is not None and (not same_host or status not in (307, 308)):
        return None
    if same_host:
        return next_request
    headers = {name: value for name, value in request["headers"].items() if name in _FORWARDED_HEADERS}
    return {**next_request, "headers": headers, "anonymous": True}


def check_host(host: str) -> None:
    """Raises a ValueError for what is no host name."""
    if not host.isascii() or not all(0 < len(label) < 64 for label in host.removesuffix(".").split(".")):
        host.encode("idna")  # its tables are large, and few hosts need them; a UnicodeError is a ValueError


def host_of(url: str) -> str:
    """Returns host and port of a URL as a message shows them: without credentials, and not all of one that is malformed."""
    try:
        host = urlsplit(url).netloc.rpartition("@")[2]
    except ValueError:
        return "an invalid URL"
    return "".join(character if character.isprintable() else "?" for character in host[:255])


def _split(url: str, location: str) -> SplitResult | None:
    """Returns the absolute URL that a `Location` header names, or None if no request can be sent there."""
    try:
        target = urlsplit(urljoin(url, location))
        port, host = target.port, target.hostname
        check_host(host or "")
    except ValueError:
        return None
    return target if host and port != 0 and location.isprintable() else None


def _is_link_local(host: str | None) -> bool:
    try:
        return ip_address(host or "").is_link_local
    except ValueError:
        return False

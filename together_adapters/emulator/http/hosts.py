"""Which hosts a request may be for, and which pages it may come from.

Without this, a web page could reach the emulator of its reader by a name that it lets resolve to this machine (DNS rebinding).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from starlette.types import Scope

from together_adapters.emulator.errors import ApiError

_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[^\s:@/?#\[\]\\]+)(?::\d{0,5})?")


def is_loopback(name: str) -> bool:
    """Returns whether only this machine has a name or address."""
    try:
        return name == "localhost" or name.endswith(".localhost") or ip_address(name).is_loopback
    except ValueError:
        return False


class AllowedHosts:
    """Loopback, the address of the server, and the hosts that a user has added; `*.example.com` and `*` are patterns."""

    def __init__(self, hosts: Sequence[str] = ()) -> None:
        names = [_name(host) for host in hosts]
        if "" in names:
            raise ValueError(f"{list(hosts)!r}: an allowed host is a name such as emulator, or *.example.com")
        self._names = frozenset(names)

    def check(self, scope: Scope) -> None:
        """Raises `ApiError` for a request to a host that is not allowed, or from a page of such a host."""
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        self._check("Host", host, _name(host), scope)
        if origin := headers.get(b"origin", b"").decode("latin-1"):
            self._check("Origin", origin, _name(urlsplit(origin).netloc if "://" in origin else origin), scope)

    def _check(self, header: str, value: str, name: str, scope: Scope) -> None:
        if not (is_loopback(name) or name == (scope.get("server") or ("",))[0] or self._is_added(name)):
            raise ApiError(
                403,
                f"The {header} {value[:100]!r} is not one that this emulator answers. If it is yours, allow it: "
                f"--allowed-host {name[:100] or 'NAME'}, or serve(allowed_hosts=[...]).",
                code="host_not_allowed",
            )

    def _is_added(self, name: str) -> bool:
        parents = name.split(".")
        patterns = (".".join(["*", *parents[start:]]) for start in range(1, len(parents)))
        return "*" in self._names or name in self._names or any(pattern in self._names for pattern in patterns)


def _name(host: str) -> str:
    """Returns a host without port, brackets and case; empty where it is not a host."""
    match = _HOST.fullmatch(host.strip().lower())
    return match[1].strip("[]").rstrip(".") if match else ""

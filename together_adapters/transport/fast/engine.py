"""The clients of wreq beneath an HTTP client: their certificates, their proxies, and the processes that they belong to."""

from __future__ import annotations

import os
import re
import weakref
from datetime import timedelta
from functools import cache, lru_cache
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.request import getproxies

import certifi
import wreq
from wreq.runtime import Runtime
from wreq.tls import CertStore, KeyLog

from together_adapters.errors import ConfigurationError
from together_adapters.transport.environment import proxy_for
from together_adapters.transport.http_library import HTTPLibrary, parse_url

_MAX_CLIENTS = 16
_IDLE = timedelta(seconds=30)
_MAX_IDLE = 256
_MAX_ADDRESSES = 4096
_HASHED_NAME = re.compile(r"[0-9a-f]{8}\.\d+")


class Unsupported(Exception):
    """What goes over httpx instead; the text says what it is."""


class Engine:
    """Clients of wreq, which share nothing but the runtime. There is one for each limit of the time to connect."""

    def __init__(self, library: HTTPLibrary) -> None:
        self._library = library
        self._clients: dict[float | None, Any] = {}
        self.has_proxies = bool(getproxies())
        self._proxies: dict[str, Any] = {}
        self._addresses: dict[str, None] = {}
        self._lock = Lock()
        self._closed = False
        _engines.add(self)

    def client(self, connect: float | None) -> Any:
        """Returns the client that gives up connecting after so many seconds."""
        client = self._clients.get(connect)
        return client if client is not None else self._open(connect)

    def _open(self, connect: float | None) -> Any:
        with self._lock:
            if self._closed:
                raise ConfigurationError("this client is closed: make a new one")
            if connect not in self._clients:
                if len(self._clients) >= _MAX_CLIENTS:
                    raise Unsupported(f"a connect timeout beyond the first {_MAX_CLIENTS} different ones")
                self._clients[connect] = _new_client(connect)
            return self._clients[connect]

    def proxy(self, url: str) -> Any:
        """Returns the proxy that the environment names for a URL, or None."""
        origin = "/".join(url.split("/", 3)[:3])
        if origin not in self._proxies:
            self._proxies[origin] = _proxy(self._library, url)
        return self._proxies[origin]

    def remember(self, address: str) -> None:
        """Remembers the local address of a connection on which a response has arrived."""
        addresses = self._addresses
        if address not in addresses:
            if len(addresses) >= _MAX_ADDRESSES:
                addresses.clear()
            addresses[address] = None

    def has_served(self, address: str | None) -> bool:
        """Whether a response has arrived on the connection with this local address, which is forgotten: it is dead."""
        return address is not None and self._addresses.pop(address, self) is None

    def close(self) -> None:
        """Ends the requests that have no response so far, and lets connections go."""
        with self._lock:
            self._closed = True
            clients, self._clients = self._clients, {}
        for client in clients.values():
            client.close()

    def clients(self) -> list[Any]:
        """Returns all clients."""
        return [*self._clients.values()]


@cache
def _runtime() -> Runtime:
    """The runtime of this process. Python takes one response at a time, so that a second thread would only cost time."""
    return Runtime(workers=1)


def _new_client(connect: float | None) -> Any:
    options: dict[str, Any] = {} if connect is None else {"connect_timeout": timedelta(seconds=connect)}
    if os.environ.get("SSLKEYLOGFILE"):
        options["tls_keylog"] = KeyLog.environment()
    return wreq.Client(
        runtime=_runtime(),
        http1_only=True,
        no_proxy=True,  # that of the environment is chosen here, by the rules of `environment`
        dns_options=wreq.DnsOptions(system_dns=True),
        tls_verify=_certificates(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")),
        pool_idle_timeout=_IDLE,
        pool_max_idle_per_host=_MAX_IDLE,
        gzip=False,  # the HTTP library decodes bodies, within limits
        brotli=False,
        deflate=False,
        zstd=False,
        **options,
    )


@lru_cache(maxsize=8)
def _certificates(file: str | None, directory: str | None) -> CertStore:
    """Returns the certificates that httpx would trust: those that the environment names, else those of the package certifi."""
    if directory and not file:
        paths = sorted(path for path in Path(directory).iterdir() if _HASHED_NAME.fullmatch(path.name))
    else:
        paths = [Path(file or certifi.where())]
    return CertStore.from_pem_stack(b"\n".join(path.read_bytes() for path in paths))


def _proxy(library: HTTPLibrary, url: str) -> Any:
    proxy = proxy_for(library, parse_url(library, url))
    if proxy is None:
        return None
    if proxy.url.scheme.startswith("socks"):
        raise Unsupported("a SOCKS proxy")
    username, password = proxy.auth or ("", "")
    credentials = {"username": username, "password": password} if username else {}
    return wreq.Proxy.all(str(proxy.url), **credentials)  # type: ignore[arg-type]


_engines: weakref.WeakSet[Engine] = weakref.WeakSet()
_of_parent: list[Any] = []
"""What a child of a fork has of its parent: it is never used, and never freed, because its threads are not there."""


def _hold() -> None:
    _of_parent.append([engine.clients() for engine in _engines])
    if _runtime.cache_info().currsize:
        _of_parent.append(_runtime())


def _start_anew() -> None:
    _runtime.cache_clear()
    _engines.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold, after_in_parent=_of_parent.clear, after_in_child=_start_anew)

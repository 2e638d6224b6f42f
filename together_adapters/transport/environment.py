"""What the environment says of the network: proxies and certificates. What cannot be used is an error that names the variable."""

from __future__ import annotations

import os
import re
import ssl
from functools import lru_cache
from importlib.util import find_spec
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from together_adapters.errors import ConfigurationError
from together_adapters.transport.http_library import HTTPLibrary
from together_adapters.transport.redirects import check_host

if TYPE_CHECKING:
    from together_adapters.transport.http_library import URL, Proxy

_PROXY_VARIABLES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
_TLS_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")
_PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")
_HASHED_NAME = re.compile(r"[0-9a-f]{8}\.\d+")


def check_environment(library: HTTPLibrary, root: str) -> None:
    """Raises if a client of this URL could not use a proxy or the certificates that the environment names. Cheap if it names none."""
    if any(map(os.environ.get, _TLS_VARIABLES)) and not _looks_usable(*map(os.environ.get, _TLS_VARIABLES)):
        ssl_context(library)
    if any(map(os.environ.get, _PROXY_VARIABLES)):
        proxy_for(library, library.module.URL(root))


@lru_cache
def _looks_usable(file: str | None, directory: str | None, key_log: str | None) -> bool:
    """Whether certificates can be loaded, as far as this can be seen without loading them."""
    try:
        if file:
            return b"CERTIFICATE-----" in Path(file).read_bytes() and not key_log
        return any(map(_HASHED_NAME.fullmatch, os.listdir(directory or "."))) and not key_log
    except OSError:
        return False


def ssl_context(library: HTTPLibrary) -> ssl.SSLContext:
    """Returns the TLS context for the certificates that the environment names: loading them takes 27 ms, so it is done once.

    Without them, httpx trusts the package certifi and httpx2 the system.
    """
    return _ssl_context(library, *map(os.environ.get, _TLS_VARIABLES))


@lru_cache
def _ssl_context(library: HTTPLibrary, file: str | None, directory: str | None, key_log: str | None) -> ssl.SSLContext:
    try:
        if directory and not file and not any(map(_HASHED_NAME.fullmatch, os.listdir(directory))):
            raise OSError("the folder holds no certificates under the names that `openssl rehash` gives them")
        if file:
            Path(file).open("rb").close()  # httpx before 0.28 passes over one that is missing
        context: ssl.SSLContext = library.module.create_ssl_context()
        if key_log and getattr(context, "keylog_filename", "") is None:
            context.keylog_filename = key_log  # httpx2 reads it with SSL_CERT_FILE alone
        return context
    except OSError as problem:
        values = zip(_TLS_VARIABLES, (file, directory, key_log), strict=True)
        named = ", ".join(f"{name}={value!r}" for name, value in values if value)
        if not named:
            raise
        reason = "it holds no certificate in PEM form" if isinstance(problem, ssl.SSLError) else problem.strerror or str(problem)
        raise ConfigurationError(f"{named} cannot be used: {reason}. Correct the path, or unset the variable") from None


def proxy_for(library: HTTPLibrary, url: URL) -> Proxy | None:
    """Returns the proxy that the environment names for a URL; one that cannot be used is a ConfigurationError."""
    proxies = getproxies()
    kind = url.scheme if proxies.get(url.scheme) else "all"
    value = proxies.get(kind)
    if not value or _is_exempt(url, proxies.get("no", "")):
        return None
    try:
        return _parse_proxy(library, value.strip() if "://" in value else f"http://{value.strip()}")
    except (library.module.InvalidURL, ValueError, ImportError) as problem:
        reason = (
            str(problem) if isinstance(problem, ImportError | _ProxyError) else "it is no URL such as http://proxy.example:8080"
        )
    # Outside the clause, because the context would show the URL.
    advice = f"Correct or unset it, or add {url.host} to NO_PROXY"
    raise ConfigurationError(f"{_variable(kind)} cannot be used: {reason}. {advice}")


class _ProxyError(ValueError):
    """A reason that shows nothing of the URL, which can hold a password."""


def _parse_proxy(library: HTTPLibrary, text: str) -> Proxy:
    scheme = text.partition("://")[0].lower()
    if scheme not in _PROXY_SCHEMES:
        raise _ProxyError(f"its scheme is {scheme[:20]!r}, and that of a proxy one of {', '.join(_PROXY_SCHEMES)}")
    parts = urlsplit(text)
    if not parts.hostname or parts.port == 0:
        raise _ProxyError("it has no usable host and port")
    check_host(parts.hostname)
    if scheme.startswith("socks") and not find_spec("socksio"):
        raise ImportError(f"a SOCKS proxy needs the package socksio: pip install '{library.name}[socks]'")
    return library.module.Proxy(text)  # type: ignore[no-any-return]


def _variable(kind: str) -> str:
    """Returns the variable of a proxy as the user wrote it; the one in lower case wins."""
    name = f"{kind}_proxy"
    if os.environ.get(name):
        return name
    return next((variable for variable in os.environ if variable.lower() == name), f"the system's {kind} proxy")


def _is_exempt(url: URL, no_proxy: str) -> bool:
    """Whether requests to a URL use no proxy: by name with or without a port, by address, or by network."""
    entries = [entry.strip() for entry in no_proxy.split(",")]
    return (
        "*" in entries
        or bool(proxy_bypass(url.host))
        or bool(proxy_bypass(f"{url.host}:{url.port or {'http': 80}.get(url.scheme, 443)}"))
        or any(_is_in_network(url.host, entry.strip("[]")) for entry in entries)
    )


def _is_in_network(host: str, network: str) -> bool:
    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:
        return False

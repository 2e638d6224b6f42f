"""The settings of a client: from its arguments, then the environment, then defaults; and those of the log."""

from __future__ import annotations

import logging
import os
import platform
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from together_adapters._version import __version__
from together_adapters.errors import ConfigurationError
from together_adapters.transport.redaction import proxy_secrets, secret_headers, secret_parameters
from together_adapters.transport.retry import RetryPolicy

if TYPE_CHECKING:
    import httpx

DEFAULT_BASE_URL = "https://api.together.xyz/v1"
DEFAULT_TIMEOUT = 600.0
DEFAULT_MAX_RETRIES = 2
KEY_VARIABLE = "TOGETHER_API_KEY"
URL_VARIABLES = ("TOGETHER_BASE_URL", "TOGETHER_API_BASE")
_USER_AGENT = f"together-adapters/{__version__} python/{platform.python_version()}"


@dataclass(frozen=True)
class Config:
    """The settings of a client. The repr shows no secret."""

    api_key: str = field(repr=False)  # sent to `root` alone
    root: str  # base URL without the version: `https://api.together.xyz`
    timeout: float | httpx.Timeout | None = DEFAULT_TIMEOUT  # for each attempt, in seconds; None for no limit
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # for every request; those of the call replace them
    query: Mapping[str, Any] = field(default_factory=dict, repr=False)
    key_from_environment: bool = field(default=False, repr=False)  # a pickle must not contain the key then

    @cached_property
    def base_headers(self) -> dict[str, str]:
        """The headers of every request, with names in lower case."""
        headers = {"authorization": f"Bearer {self.api_key}", "accept": "application/json", "user-agent": _USER_AGENT}
        return {**headers, **{name.lower(): value for name, value in self.headers.items()}}

    @cached_property
    def secrets(self) -> tuple[str, ...]:
        """Texts that no error and no log may show."""
        return (self.api_key, *secret_headers(self.headers), *secret_parameters(self.query), *proxy_secrets())

    @property
    def base_url(self) -> str:
        """The base URL with its version."""
        return f"{self.root}/v1"


def resolve(
    api_key: str | None,
    base_url: str | None,
    timeout: float | httpx.Timeout | None,
    max_retries: int,
    max_elapsed: float | None,
    headers: Mapping[str, str],
    query: Mapping[str, Any],
) -> Config:
    """Returns the settings from arguments and environment; a missing or invalid one is a ConfigurationError."""
    key = api_key or os.environ.get(KEY_VARIABLE)
    if not key:
        raise ConfigurationError(
            f"no API key: pass api_key=... or set {KEY_VARIABLE} (keys: https://api.together.ai/settings/api-keys)"
        )
    if not isinstance(max_retries, int) or max_retries < 0:
        raise ConfigurationError(f"max_retries must be an integer from 0, not {max_retries!r}")
    url = base_url or next(filter(None, map(os.environ.get, URL_VARIABLES)), DEFAULT_BASE_URL)
    return Config(
        api_key=_header_safe(key),
        root=root_of(str(url)),
        timeout=timeout,
        policy=RetryPolicy(max_retries, max_elapsed),
        headers=_strings(headers),
        query=dict(query),
        key_from_environment=not api_key,
    )


def root_of(url: str) -> str:
    """Returns a base URL without its version, with a gateway's path prefix; an invalid one is a ConfigurationError."""
    try:
        parts = urlsplit(url.strip())
        host = parts.hostname if parts.port != 0 else None
    except ValueError:  # whose text may have a part of a password
        parts, host = urlsplit("invalid:"), None
    if not host or parts.scheme not in ("http", "https"):
        raise ConfigurationError(
            f"base_url must be an http or https URL with a host and a valid port, not {parts.scheme or 'this'!r}"
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigurationError("base_url must not contain credentials or a query: use default_headers or default_query")
    if parts.scheme == "http" and not _is_loopback(host):
        _warn_unencrypted(host)
    path = parts.path.rstrip("/").removesuffix("/v1").rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path}"


@lru_cache
def _warn_unencrypted(host: str) -> None:
    """Warns once for each host."""
    warnings.warn(f"the API key is sent unencrypted to {host}: use https", UserWarning, stacklevel=6)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _header_safe(key: str) -> str:
    key = key.strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError(f"the API key contains characters that no key has: check {KEY_VARIABLE} or api_key")
    return key


def _strings(headers: Mapping[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"headers must map str to str; {name!r} does not")
    return dict(headers)


@lru_cache(maxsize=1)
def configure_logging() -> None:
    """Writes the log of this library to stderr if `TOGETHER_LOG` is `info` or `debug`: attempts, without keys, queries or bodies."""
    level = os.environ.get("TOGETHER_LOG", "").upper()
    if level not in ("DEBUG", "INFO"):
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    logger = logging.getLogger("together_adapters")
    logger.addHandler(handler)
    logger.setLevel(level)

"""The settings of a client: from its arguments, then the environment, then defaults; and those of the log."""

from __future__ import annotations

import logging
import os
import platform
import re
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from ipaddress import ip_address
from numbers import Real
from threading import TIMEOUT_MAX, Lock
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from together_adapters._version import __version__
from together_adapters.errors import ConfigurationError, hides_frames
from together_adapters.transport.http_library import DEFAULT, library_of
from together_adapters.transport.observation import Controller
from together_adapters.transport.redaction import proxy_secrets, secret_headers, secret_parameters
from together_adapters.transport.redirects import check_host
from together_adapters.transport.retry import Failure, RetryPolicy
from together_adapters.types.capabilities import advice, capabilities
from together_adapters.types.requests import Timeout

__tracebackhide__ = hides_frames

DEFAULT_BASE_URL = "https://api.together.xyz/v1"
DEFAULT_TIMEOUT = 600.0
DEFAULT_MAX_RETRIES = 2
KEY_VARIABLE = "TOGETHER_API_KEY"
PROJECT_VARIABLE = "TOGETHER_PROJECT_ID"
HEADERS_VARIABLE = "TOGETHER_CUSTOM_HEADERS"
URL_VARIABLES = ("TOGETHER_BASE_URL", "TOGETHER_API_BASE")
_ENDPOINT = re.compile(
    r"(/v1/(models|files|fine-tunes|batches))$"
    r"|((/v1)?/(chat/completions|completions|embeddings|rerank|images/generations|audio/(speech|transcriptions|translations)))$"
)
_NO_TLS = ("WRONG_VERSION_NUMBER", "wrong version number", "record layer failure", "packet length too long")
_UNKNOWN_HOST = (
    "Name or service not known", "nodename nor servname", "getaddrinfo failed", "name resolution", "No address associated", "dns error",
)  # fmt: skip
_HOSTS = (".together.xyz", ".together.ai")
_INNER_PACKAGES = frozenset(
    {
        *("together_adapters", "langchain_together_adapters", "llama_index_together_adapters"),
        *("langchain", "langchain_core", "langchain_classic", "langgraph", "langsmith", "tenacity"),
        *("llama_index", "llama_index_instrumentation", "workflows", "wrapt"),
        *("pydantic", "anyio", "asyncio", "concurrent", "contextlib", "contextvars", "functools", "threading"),
    }
)
"""Whose lines no warning is about."""
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FRAMING = frozenset({"content-length", "transfer-encoding"})
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")
_USER_AGENT = f"together-adapters/{__version__} python/{platform.python_version()}"


class ClientMemory:
    """What a client learned, shared by the copies that `with_options` makes. A pickle keeps the project alone."""

    def __init__(self, project_id: str | None = None) -> None:
        self.project_id = project_id  # of the settings; None if they name none
        self.warnings: set[str] = set()  # that were given
        self.results: dict[str, Any] = {}  # of calls that are made once
        self.lock = Lock()  # of the call that is under way
        self.input_limits: dict[str, int] = {}  # how many texts an embedding request may have, by model

    def __reduce__(self) -> Any:
        return ClientMemory, (self.project_id,)


@dataclass(frozen=True)
class Config:
    """The settings of a client. The repr shows no secret."""

    api_key: str = field(repr=False)  # sent to `root` alone; empty for a server of this machine that needs none
    root: str  # base URL without the version: `https://api.together.xyz`
    timeout: float | Timeout | None = DEFAULT_TIMEOUT  # for each attempt, in seconds; None for no limit
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # for every request; those of the call replace them
    environment_headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # the same, which `headers` replace
    query: Mapping[str, Any] = field(default_factory=dict, repr=False)
    key_from_environment: bool = field(default=False, repr=False)  # a pickle must not contain the key then
    http_secrets: tuple[str, ...] = field(default=(), repr=False)  # of a supplied HTTP client
    http_library: str = DEFAULT  # by name, because a pickle contains no module
    transport: str = DEFAULT  # the same, or `fast`
    memory: ClientMemory = field(default_factory=ClientMemory, repr=False, compare=False)
    control: Controller | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        retries = self.policy.max_retries
        if not isinstance(retries, int) or retries < 0:
            raise ConfigurationError(f"max_retries must be an integer from 0, not {retries!r}")
        if self.policy.max_elapsed is not None:
            check_seconds("max_elapsed", self.policy.max_elapsed)
        check_timeout(self.timeout)
        if self.control is not None and (isinstance(self.control, type) or not hasattr(self.control, "observe")):
            raise ConfigurationError(f"control must be a together_adapters.Control, not {type(self.control).__name__}")

    @cached_property
    def base_headers(self) -> dict[str, str]:
        """The headers of every request, with names in lower case."""
        key = {"authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        headers = {**key, "accept": "application/json", "user-agent": _USER_AGENT, **_lower(self.environment_headers)}
        if not self.key_from_environment:  # an argument precedes the environment
            headers |= key
        return {**headers, **_lower(self.headers)}

    @cached_property
    def secrets(self) -> tuple[str, ...]:
        """Texts that no error and no log may show."""
        of_headers = (*secret_headers(self.environment_headers), *secret_headers(self.headers))
        return (self.api_key, *of_headers, *secret_parameters(self.query), *self.http_secrets, *proxy_secrets())

    def warn(self, warning: Warning) -> None:
        """Gives a warning about the service of Together AI once, where the user called; none to users of other servers."""
        if str(warning) in self.memory.warnings or not self.may_be_together:
            return
        self.memory.warnings.add(str(warning))
        warn_user(warning)

    def advise(self, model: str, kind: str | None) -> str:
        """Returns what to do about a model that the server does not serve: by the catalogue, where the client has it."""
        if not self.may_be_together:
            return "models.list() names the models of this server."
        kind = kind or capabilities(model).type
        catalogue = self.memory.results.get("models") or ()
        return advice(model, kind, [entry.id for entry in catalogue if isinstance(entry.id, str) and entry.type == kind])

    def connection_advice(self, failure: Failure) -> str:
        """Returns what to do about a connection that could not be opened, if somebody knows."""
        if failure.refused:
            return self._start_advice(failure.url)
        if any(words in failure.reason for words in _NO_TLS):
            return f"The server does not speak TLS: begin the address, which {self._origin_of_address(failure.url)}, with http://"
        if any(words in failure.reason for words in _UNKNOWN_HOST):
            return f"No such host is known here: correct the address, which {self._origin_of_address(failure.url)}, or check the network"
        return ""

    def _origin_of_address(self, url: str) -> str:
        """Returns in words where the address of the server comes from."""
        if _origin(url) == _origin(DEFAULT_BASE_URL):
            return "is that of Together AI"
        names = (f"{name} names" for name in URL_VARIABLES if _origin(os.environ.get(name, "")) == _origin(url))
        return next(names, "was passed as base_url=...")

    def _start_advice(self, url: str) -> str:
        """Returns what to do if nothing listens where a request went: nothing for other machines, and behind a proxy."""
        from together_adapters.transport.environment import proxy_for  # adapters need none of it before they connect

        library = library_of(self.http_library)
        is_here = _is_loopback(urlsplit(url).hostname or "") and _origin(url) == _origin(self.root)
        if not is_here or proxy_for(library, library.module.URL(url)):
            return ""
        return (
            f"Nothing listens at this address, which {self._origin_of_address(url)}: start the server, or correct the "
            "address. `together-adapters emulator` starts the emulator, without --port at another address each time"
        )

    @cached_property
    def may_be_together(self) -> bool:
        """Whether the server may be that of Together AI, so that what is known of its models holds."""
        host = urlsplit(self.root).hostname or ""
        # On this machine it may be an emulator or a gateway, which get a key.
        return _is_together(host) or (_is_loopback(host) and bool(self.api_key))

    @property
    def base_url(self) -> str:
        """The base URL with its version."""
        return f"{self.root}/v1"


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def resolve(
    api_key: str | None,
    base_url: str | None,
    timeout: float | Timeout | None,
    max_retries: int,
    max_elapsed: float | None,
    headers: Mapping[str, str],
    query: Mapping[str, Any],
    http_library: str = DEFAULT,
    project_id: str | None = None,
    control: Controller | None = None,
    transport: str | None = None,
) -> Config:
    """Returns the settings from arguments and environment; a missing or invalid one is a ConfigurationError."""
    root = root_of(base_url or next(filter(None, map(os.environ.get, URL_VARIABLES)), DEFAULT_BASE_URL))
    key = valid_key(api_key) if api_key else environment_key(root)
    warn_unencrypted(root)  # not before: without a key there is an error instead
    return Config(
        api_key=key,
        root=root,
        timeout=timeout,
        policy=RetryPolicy(max_retries, max_elapsed),
        headers=valid_headers(headers),
        environment_headers=environment_headers(root),
        query=valid_query(query),
        key_from_environment=bool(key and not api_key),
        http_library=http_library,
        transport=transport or http_library,
        memory=ClientMemory(valid_project(project_id)),
        control=control,
    )


def valid_project(project_id: Any) -> str | None:
    """Returns the id of a project, by default that of the environment; what is no text is a ConfigurationError."""
    if project_id is not None and (not isinstance(project_id, str) or not project_id.strip()):
        raise ConfigurationError(f"project_id must be the id of a project, not {project_id!r}"[:200])
    return (project_id or os.environ.get(PROJECT_VARIABLE, "")).strip() or None


def environment_headers(root: str) -> dict[str, str]:
    """Returns the headers of the environment, one `Name: value` in each line, for a server that gets the key of the environment.

    Like that key, they are not for another server. An invalid line is a ConfigurationError that shows no value.
    """
    lines = [line for line in os.environ.get(HEADERS_VARIABLE, "").split("\n") if line.strip()]
    if not lines or not gets_environment(root):
        return {}
    headers = {}
    for number, line in enumerate(lines, 1):
        name, colon, value = line.partition(":")
        if not colon:
            raise ConfigurationError(f"{HEADERS_VARIABLE}: line {number} has no colon; each line is 'Name: value'")
        headers[name.strip()] = value.strip()
    return valid_headers(headers, HEADERS_VARIABLE)


def environment_key(root: str, *, required: bool = False) -> str:
    """Returns the key of the environment for a server. Where there is none, it is empty for a server of this machine.

    Not so for one that a variable names, because key and base URL of the environment belong together, nor if a key is `required`,
    because there was one before.
    """
    host = urlsplit(root).hostname or ""
    if key := os.environ.get(KEY_VARIABLE):
        check_key_host(root)
        return valid_key(key)
    if _is_loopback(host) and not required and _origin(root) not in _environment_origins():
        return ""
    advice = (
        "(keys: https://api.together.ai/settings/api-keys). To go on without a key, start the emulator, which prints the two "
        "variables to set: `together-adapters emulator`"
    )
    if "PYTEST_CURRENT_TEST" in os.environ:
        advice += "; a test gets its own by @pytest.mark.together"
    if _is_loopback(host):
        advice = "(the emulator and most servers of this machine take any word)"
    elif not _is_together(host):
        advice = f"where {host[:60]} is a gateway to Together; another server's own key, or any word if it needs none, is api_key"
    raise ConfigurationError(f"no API key: pass api_key=... or set {KEY_VARIABLE} {advice}")


def check_key_host(root: str) -> None:
    """Raises a ConfigurationError for a server that is not to get the key of the environment: one named by an argument only.

    The key goes to Together, to this machine, and to the host of the variable for the base URL, which is set beside it.
    """
    host = urlsplit(root).hostname or ""
    if not gets_environment(root):
        raise ConfigurationError(
            f"{KEY_VARIABLE} is not sent to {host[:60]}, which is none of Together's hosts: pass the key of that server as "
            f"api_key=... (any word, if it needs none); for a gateway to Together set {URL_VARIABLES[0]} beside {KEY_VARIABLE}"
        )


def gets_environment(root: str) -> bool:
    """Whether a server gets the key and the headers of the environment."""
    host = urlsplit(root).hostname or ""
    return _is_together(host) or _is_loopback(host) or _origin(root) in _environment_origins()


def _is_together(host: str) -> bool:
    return f".{host}".endswith(_HOSTS)


def _origin(url: str) -> str:
    """Returns scheme, host and port of a URL."""
    return "/".join(url.strip().lower().split("/", 3)[:3])


def _environment_origins() -> set[str]:
    return {_origin(url) for url in map(os.environ.get, URL_VARIABLES) if url}


def root_of(url: Any) -> str:
    """Returns a base URL without its version, with a gateway's path prefix; an invalid one is a ConfigurationError."""
    url = str(url).strip()
    # An adapter reads the variable itself, and passes it as an argument.
    variable = next((name for name in URL_VARIABLES if os.environ.get(name, "").strip() == url), None)
    name = f"base_url ({variable})" if variable else "base_url"
    try:
        return _root_of(url)
    except ValueError as problem:
        raise ConfigurationError(f"{name} must be an http or https URL such as {DEFAULT_BASE_URL}: {problem}") from None


@lru_cache(maxsize=64)
def _root_of(url: str) -> str:
    if not url.isprintable() or any(character in ' <>"{}|\\^`' for character in url):
        raise ValueError("it contains characters that no URL has")
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:  # whose text may have a part of a password
        parts, usable = urlsplit(f"{url.partition(':')[0]}:"), False
    if parts.scheme not in ("http", "https"):
        scheme = "http" if _is_loopback(url.partition("/")[0].partition(":")[0]) else "https"
        advice = f"begin it with {scheme}://" if "://" not in url else f"its scheme is {parts.scheme[:20]!r}"
        raise ValueError(advice)
    host = parts.hostname or ""
    if not usable:
        raise ValueError("it has no usable host and port")
    if parts.username is not None or parts.password is not None:
        raise ValueError("it contains credentials; pass api_key, or default_headers for a gateway")
    if parts.query or parts.fragment:
        raise ValueError("it contains a query or a fragment; use default_query")
    path = parts.path.rstrip("/")
    if endpoint := _ENDPOINT.search(path):
        raise ValueError(f"it ends in {endpoint[0].removeprefix('/v1')}, which the library adds: leave that out")
    try:
        check_host(host)
    except ValueError:
        raise ValueError(f"{host[:60]!r} is no host name") from None
    return f"{parts.scheme}://{parts.netloc}{path.removesuffix('/v1').rstrip('/')}"


@lru_cache
def warn_unencrypted(root: str) -> None:
    """Warns once for each server of another machine that gets the key over plain http."""
    parts = urlsplit(root)
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        warn_user(f"the API key is sent unencrypted to {parts.hostname}: use https")


def warn_user(warning: str | Warning) -> None:
    """Warns at the line of the user, whatever frameworks are between."""
    frame, level = sys._getframe(), 1
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in _INNER_PACKAGES:
        frame, level = frame.f_back, level + 1
    warnings.warn(warning, stacklevel=level)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def valid_key(key: Any) -> str:
    """Returns an API key without the white space around it; one that no header can hold is a ConfigurationError."""
    text = key.strip() if isinstance(key, str) else ""
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        reason = "contains characters that no key has" if isinstance(key, str) else f"is a {type(key).__name__}, not a string"
        raise ConfigurationError(f"the API key {reason}: check {KEY_VARIABLE} or api_key")
    return text


def valid_headers(headers: Any, name: str = "default_headers") -> dict[str, str]:
    """Returns headers that can be sent; others are a ConfigurationError that shows no value."""
    if not isinstance(headers, Mapping):
        raise ConfigurationError(f"{name} must map names to values, but is a {type(headers).__name__}")
    for key, value in headers.items():
        if not isinstance(key, str) or not _HEADER_NAME.fullmatch(key):
            raise ConfigurationError(
                f"{name}: {key!r} is no name of a header; names consist of ASCII letters, digits and hyphens"
            )
        if key.lower() in _FRAMING:
            raise ConfigurationError(
                f"{name}: {key!r} says where a body ends, which differs from request to request: leave it out"
            )
        if not isinstance(value, str):
            raise ConfigurationError(f"{name}: the value of {key!r} is a {type(value).__name__}; headers are strings: use str()")
        if not _HEADER_VALUE.fullmatch(value):
            reason = "line breaks or other control characters" if value.isascii() else "characters outside ASCII: encode them"
            raise ConfigurationError(f"{name}: the value of {key!r} cannot be sent, for it contains {reason}")
    return {key: value.strip() for key, value in headers.items()}


def valid_query(query: Any, name: str = "default_query") -> dict[str, Any]:
    """Returns query parameters as a dict; what is no mapping of strings is a ConfigurationError."""
    if not isinstance(query, Mapping) or not all(isinstance(key, str) for key in query):
        raise ConfigurationError(f"{name} must map names, which are strings, to values")
    return dict(query)


def check_timeout(timeout: Any) -> None:
    """Raises a ConfigurationError for a timeout that is neither seconds nor a `Timeout` nor None."""
    parts = timeout.as_dict() if hasattr(timeout, "as_dict") else {"": timeout}
    for part, seconds in parts.items():
        if seconds is not None:
            check_seconds(f"timeout.{part}".rstrip("."), seconds)


def check_seconds(name: str, value: Any) -> None:
    """Raises a ConfigurationError for what is no positive number of seconds that a system can wait."""
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 < float(value) <= TIMEOUT_MAX:
        raise ConfigurationError(f"{name} must be a number of seconds above 0, or None for no limit, not {value!r}"[:200])


def _validate_if_possible(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """Returns what the type makes of a value, or the value itself: the client refuses it in its own words."""
    try:
        return validate(value)
    except ValidationError:
        return value


BY_CLIENT: Final = WrapValidator(_validate_if_possible)
"""The validation of a setting that is a field of an integration's class."""


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

"""httpx and httpx2: the only module that imports either, and the classes that must be derived from theirs.

`transport="fast"` is beneath one of them: its connections are those of wreq.

Both have the same names, but classes of their own: neither takes a stream, a request or a client of the other, and no exception of
one is an exception of the other.
"""

from __future__ import annotations

import logging
import sys
from functools import cache, cached_property, lru_cache
from importlib import import_module
from types import FunctionType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from together_adapters._lazy import pip_install
from together_adapters.errors import ConfigurationError

if TYPE_CHECKING:
    import httpx
    import httpx2

    HTTPClient: TypeAlias = httpx.Client | httpx2.Client
    AsyncHTTPClient: TypeAlias = httpx.AsyncClient | httpx2.AsyncClient
    HTTPRequest: TypeAlias = httpx.Request | httpx2.Request
    HTTPResponse: TypeAlias = httpx.Response | httpx2.Response
    URL: TypeAlias = httpx.URL | httpx2.URL
    Proxy: TypeAlias = httpx.Proxy | httpx2.Proxy
else:
    HTTPClient = AsyncHTTPClient = Any

LibraryName: TypeAlias = Literal["httpx", "httpx2"]
TransportName: TypeAlias = Literal["fast", "httpx", "httpx2"]

DEFAULT: LibraryName = "httpx"
FAST: TransportName = "fast"
_NAMES = ("httpx", "httpx2")
_STEPS = frozenset(
    {"__init__", "build_request", "send", "_send_handling_auth", "_send_handling_redirects", "_send_single_request"}
)
_ROOTS = frozenset({"httpx", "httpx2", "httpcore", "httpcore2"})


class HTTPLibrary:
    """One of the two libraries. `module` has everything that both offer under the same name."""

    def __init__(self, name: str, *, is_fast: bool = False) -> None:
        self.name = name
        self.is_fast = is_fast
        self.transport = FAST if is_fast else name
        self.module: Any = import_module(name)
        self._logger = logging.getLogger(name)

        class NoCookies(self.module.Cookies):  # type: ignore[misc, name-defined]
            """The API has no cookies, and looking for them in every response takes a twentieth of a call."""

            def extract_cookies(self, response: Any) -> None: ...

            def __bool__(self) -> bool:
                return False

        self._cookies = NoCookies

    def new_client(self, transport: Any, *, is_async: bool) -> Any:
        """Returns a client without cookies and redirects. It stays open: its transport tells calls that it is closed."""
        client = (self.module.AsyncClient if is_async else self.module.Client)(transport=transport)
        client.own_transport = transport
        client._cookies = self._cookies()  # its public setter copies the value into a jar of its own
        client._build_redirect_request = _no_redirect
        return client

    def is_transparent(self, client: Any) -> bool:
        """Whether a client does nothing for a request but hand it to our own transport.

        Monitors and recorders of tests wrap the methods of clients, and loggers want their lines.
        """
        if not hasattr(client, "own_transport") or self._logger.isEnabledFor(logging.INFO):
            return False
        methods: list[Any] = [getattr(type(client), name, None) for name in _STEPS]
        if vars(client).keys() & _STEPS or not all(type(method) is FunctionType for method in methods):
            return False
        return len({method.__code__.co_filename for method in methods}) == 1

    @cached_property
    def accept_encoding(self) -> str:
        """The encodings of bodies that this library decodes, as the header of its requests."""
        return self.module.Client(transport=object(), trust_env=False).headers["accept-encoding"]  # type: ignore[no-any-return]


def _no_redirect(request: Any, response: Any) -> Any:
    """Returns what is not sent: `redirects` says what is followed. The libraries raise errors for a `Location` that is no URL."""
    return request


@cache
def _load(name: str, transport: str = "") -> HTTPLibrary:
    is_fast = transport == FAST
    if is_fast:
        try:
            import_module("wreq")
        except ImportError as problem:
            raise ConfigurationError(f"transport='fast' cannot be used ({problem}): {pip_install(FAST)}") from None
    try:
        return HTTPLibrary(name, is_fast=is_fast)
    except ImportError as problem:
        raise ConfigurationError(f"http_library={name!r} cannot be imported ({problem}): {pip_install(name)}") from None


def library_of(name: str | None, client: object = None, kind: str = "Client", transport: str | None = None) -> HTTPLibrary:
    """Returns the library of a supplied client, the one with this name, or the default.

    Args:
        name: The name that the user gave, if any.
        client: The client that the user supplied, if any.
        kind: `Client` or `AsyncClient`, which it must be.
        transport: `fast`, or the same as `name`.

    Raises:
        ConfigurationError: The name is none of the two, its package is missing, the client is none that can be used, or two of
            them do not go together.
    """
    if name is not None and name not in _NAMES:
        raise ConfigurationError(f"http_library must be {' or '.join(map(repr, _NAMES))}, not {name!r}"[:200])
    if transport is not None and transport not in (FAST, *_NAMES):
        raise ConfigurationError(f"transport must be {', '.join(map(repr, (FAST, *_NAMES)))}, not {transport!r}"[:200])
    if transport == FAST:
        if client is not None:
            raise ConfigurationError("transport='fast' does not go with an http_client, which has its own: pass one of them")
        return _load(name or DEFAULT, FAST)
    if transport and name not in (None, transport):
        raise ConfigurationError(f"transport={transport!r} does not go with http_library={name!r}: pass one of them")
    name = transport or name
    if client is None:
        return _load(name or DEFAULT)
    # Nobody has a client of a library that was not imported.
    for candidate in (name,) if name else _NAMES:
        if candidate in sys.modules and isinstance(client, getattr(_load(candidate).module, kind)):
            return _load(candidate)
    expected = " or ".join(f"an {candidate}.{kind}" for candidate in ((name,) if name else _NAMES))
    condition = f" with http_library={name!r}" if name else ""
    raise ConfigurationError(f"http_client must be {expected}{condition}, but is {_described(client)}")


def _described(value: object) -> str:
    """Returns what a value is, without showing it."""
    if isinstance(value, type):
        return f"the class {value.__module__}.{value.__qualname__}: create an instance"
    kind = type(value)
    return f"of type {kind.__qualname__}" if kind.__module__ == "builtins" else f"of type {kind.__module__}.{kind.__qualname__}"


def error_names(error: BaseException) -> frozenset[str]:
    """Returns the names of the classes of an exception that are of the libraries: its own class and its bases.

    Exceptions are recognised by the name that both give them, whichever library raised them.
    """
    return _error_names(type(error))  # type: ignore[arg-type]


@lru_cache(maxsize=256)
def _error_names(kind: type[BaseException]) -> frozenset[str]:
    return frozenset(base.__name__ for base in kind.__mro__ if base.__module__.partition(".")[0] in _ROOTS)


@cache
def byte_stream(library: HTTPLibrary, kind: type) -> Any:
    """Returns a class of streams as the library takes it, which checks that its streams are derived from its own."""
    return type(kind.__name__, (kind, library.module.SyncByteStream, library.module.AsyncByteStream), {})


@lru_cache(maxsize=64)
def parse_url(library: HTTPLibrary, url: str) -> Any:
    """Parses a URL. A client uses few of them, and parsing one is half of what it takes to make a request."""
    return library.module.URL(url)


def new_timeout(*seconds: float | None, **limits: float | None) -> httpx.Timeout:
    """Returns a timeout of httpx, which is always installed; a client on httpx2 takes it as well."""
    return _load(DEFAULT).module.Timeout(*seconds, **limits)  # type: ignore[no-any-return]

"""The connection settings that all components share, and the clients that are created from them.

Dumps, reprs and events contain neither key nor headers. The clients are created once, without opening a connection. A pickle
leaves them out: an unpickled component creates its own from the settings, or from its environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, cast
from urllib.parse import urlsplit

from llama_index.core.bridge.pydantic import Field, PrivateAttr, field_serializer, field_validator
from llama_index.core.schema import BaseComponent
from pydantic import SecretStr

from together_adapters.transport.config import BY_CLIENT, environment_key, warn_user

if TYPE_CHECKING:
    from together_adapters.client import AsyncTogether, ClientPair, Together

_OPTIONS = ("timeout", "max_retries", "max_elapsed", "default_headers", "default_query", "control", "transport")
_HTTP_CLIENTS = ("http_client", "async_http_client")
_SETTINGS = frozenset({"api_key", "api_base", "client", "async_client", *_HTTP_CLIENTS, *_OPTIONS})


class ServiceComponent(BaseComponent):
    """A component that sends requests to the service.

    Attributes:
        api_key: The key; default `TOGETHER_API_KEY`, which is sent to Together, to this machine, and to the host of the variable
            for the base URL. A key that is passed in is part of a pickle; one from the environment is not.
        api_base: The base URL, also accepted as `base_url`; default `TOGETHER_BASE_URL`, `TOGETHER_API_BASE`, the service. Another
            server needs its own `api_key`; one of this machine may need none.
        timeout: Seconds, or a `Timeout` of httpx or httpx2, for each attempt. None for the client's own, 600 s.
        max_retries: Retries of a request. None for the client's own, 2.
        max_elapsed: Maximum number of seconds for a call with its retries.
        default_headers: Headers for every request.
        default_query: Query parameters for every request.
        client: A client to share; it replaces the key. Other settings beside it, such as the address, hold for this object alone.
        async_client: An asynchronous client to share; it replaces the key.
        control: A `together_adapters.Control` with limits, a budget and a ledger; None for that of a shared client.
        transport: What transfers requests: `fast` (extra `fast`), `httpx` or `httpx2`; httpx when None.
        http_client: A client of httpx or httpx2 for synchronous calls.
        async_http_client: A client of httpx or httpx2 for asynchronous calls.
    """

    api_key: SecretStr | None = Field(default=None, exclude=True, repr=False)
    api_base: str | None = Field(default=None)
    timeout: Any = Field(default=None)
    max_retries: Annotated[int | None, BY_CLIENT] = Field(default=None)
    max_elapsed: Annotated[float | None, BY_CLIENT] = Field(default=None)
    default_headers: Annotated[Mapping[str, str] | None, BY_CLIENT] = Field(default=None, exclude=True, repr=False)
    default_query: Annotated[Mapping[str, Any] | None, BY_CLIENT] = Field(default=None, exclude=True, repr=False)
    client: Any = Field(default=None, exclude=True, repr=False)
    async_client: Any = Field(default=None, exclude=True, repr=False)
    control: Any = Field(default=None, exclude=True, repr=False)
    transport: Annotated[str | None, BY_CLIENT] = Field(default=None)
    http_client: Any = Field(default=None, exclude=True, repr=False)
    async_http_client: Any = Field(default=None, exclude=True, repr=False)

    _clients: ClientPair | None = PrivateAttr(default=None)
    _key_from_environment: bool = PrivateAttr(default=False)

    _ignored_arguments: ClassVar[frozenset[str]] = frozenset({"class_name"})
    """Arguments of the packages that this one replaces, which have no effect here."""

    def __init__(self, **data: Any) -> None:
        base_url = data.pop("base_url", None)
        if data.get("api_base") is None:
            data["api_base"] = base_url
        if unknown := data.keys() - type(self).model_fields.keys() - self._ignored_arguments:
            from together_adapters.adapters.keywords import suggest

            fields = frozenset({*type(self).model_fields, "model", "base_url"})
            names = ", ".join(name + suggest(name, fields) for name in sorted(unknown))
            warn_user(f"{type(self).__name__} has no field {names}; it is ignored")
        super().__init__(**data)
        self._clients = clients = self._new_clients()
        if self.api_base is None:
            super().__setattr__("api_base", clients.config.base_url)  # the clients stay valid

    @field_validator("timeout")
    @classmethod
    def _read_timeout(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            from together_adapters.transport.http_library import new_timeout

            return new_timeout(**value)
        return value

    @field_serializer("timeout")
    def _write_timeout(self, value: Any) -> Any:
        return value.as_dict() if hasattr(value, "as_dict") else value

    @property
    def sync_client(self) -> Together:
        """The synchronous client in use."""
        return self._current_clients().sync

    @property
    def asynchronous_client(self) -> AsyncTogether:
        """The asynchronous client in use."""
        return self._current_clients().asynchronous

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy. It shares the connections, unless their settings are updated."""
        copy = super().model_copy(update=dict(update) if update else None, deep=deep)
        if update and not _SETTINGS.isdisjoint(update):
            copy._clients = None
        return copy

    @property
    def _host(self) -> str:
        return urlsplit(self.api_base or "").netloc

    def _new_clients(self) -> ClientPair:
        from together_adapters.client import ClientPair, check_clients

        check_clients(self.client, self.async_client)
        shared = self.client or self.async_client
        key = self.api_key
        clients = ClientPair(
            cast("Together | None", self.client),
            cast("AsyncTogether | None", self.async_client),
            api_key=key.get_secret_value() if isinstance(key, SecretStr) else key,
            http_client=self.http_client,
            http_async_client=self.async_http_client,
            base_url=None if shared is not None and shared.base_url == self.api_base else self.api_base,
            **{name: getattr(self, name) for name in _OPTIONS},
        )
        if self._key_from_environment and not clients.config.api_key:  # in a pickle
            environment_key(clients.config.root, required=True)
        self._key_from_environment = clients.config.key_from_environment
        return clients

    def _http_clients(self) -> list[Any]:
        """Return the clients of an HTTP library that the caller supplied."""
        return [client for name in _HTTP_CLIENTS if (client := getattr(self, name)) is not None]

    def _current_clients(self) -> ClientPair:
        if self._clients is None:
            self._clients = self._new_clients()
        return self._clients

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "api_key" and isinstance(value, str):
            value = SecretStr(value)
        super().__setattr__(name, value)
        if name in _SETTINGS:
            self._clients = None

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Copy everything except HTTP clients, which cannot be copied and are shared."""
        memo = {} if memo is None else memo
        memo.update({id(shared): shared for shared in self._http_clients()})
        return super().__deepcopy__(memo)

    def __getstate__(self) -> dict[str, Any]:
        if self._http_clients():
            raise TypeError("a component with a supplied http_client cannot be pickled")
        for shared in (self.client, self.async_client):
            if shared is not None:
                shared.__reduce__()  # raises where it cannot be pickled; core would drop it, and requests would go elsewhere
        state = super().__getstate__()
        return {**state, "__pydantic_private__": {**(state["__pydantic_private__"] or {}), "_clients": None}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # which initializes it, and so forgets where the key came from
        if (state["__pydantic_private__"] or {}).get("_key_from_environment"):
            self._key_from_environment = True
            self._clients = None

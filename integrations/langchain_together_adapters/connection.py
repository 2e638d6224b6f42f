"""How each of the adapters reaches the service: the same fields, one pair of clients, made when it is first needed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from operator import itemgetter
from typing import Annotated, Any, Self

import httpx
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from together_adapters.client import AsyncTogether, ClientPair, Together
from together_adapters.transport.config import DEFAULT_BASE_URL, KEY_VARIABLE, URL_VARIABLES


class EnvironmentKey(SecretStr):
    """A key that came from the environment: a pickle of it holds no secret, and reads the environment again."""

    def __reduce__(self) -> Any:
        return _read_key, ()

    def __copy__(self) -> EnvironmentKey:
        return self

    def __deepcopy__(self, memo: Any) -> EnvironmentKey:
        return self


def _read_key() -> EnvironmentKey | None:
    key = os.environ.get(KEY_VARIABLE)
    return EnvironmentKey(key) if key else None


def _keep_origin(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    return value if isinstance(value, EnvironmentKey) else validate(value)


Key = Annotated[SecretStr | None, WrapValidator(_keep_origin)]


class Connection(BaseModel):
    """Where requests go, and as whom.

    Attributes:
        together_api_key: The key (alias `api_key`); else `TOGETHER_API_KEY`. One that is passed in travels in a pickle of
            the adapter; one from the environment does not.
        together_api_base: Where to send (alias `base_url`), with or without a trailing `/v1`; else `TOGETHER_BASE_URL`,
            `TOGETHER_API_BASE`, the service.
        timeout: Seconds, an `httpx.Timeout`, or a pair of seconds to connect and to read, for each attempt; 600 when None.
        max_retries: Requests after the first, on transport failures, 408, 429 and 5xx; 2 when None.
        max_elapsed: Seconds that a call may take with all its retries; no bound when None.
        default_headers: Headers for every request. They are in no dump.
        default_query: Query parameters for every request. They are in no dump.
        http_client: An httpx client of yours for synchronous calls.
        http_async_client: An httpx client of yours for asynchronous calls.
        client: A `together_adapters.Together` to share; no key is needed then.
        async_client: A `together_adapters.AsyncTogether` to share; with either, the other is built from its settings.
    """

    model_config = ConfigDict(populate_by_name=True, protected_namespaces=(), arbitrary_types_allowed=True)

    together_api_key: Key = Field(default=None, alias="api_key")
    together_api_base: str | None = Field(default=None, alias="base_url")
    timeout: Any = None
    max_retries: int | None = None
    max_elapsed: float | None = None
    default_headers: Mapping[str, str] | None = Field(default=None, exclude=True, repr=False)
    default_query: Mapping[str, Any] | None = Field(default=None, exclude=True, repr=False)
    http_client: Any = Field(default=None, exclude=True, repr=False)
    http_async_client: Any = Field(default=None, exclude=True, repr=False)
    client: Any = Field(default=None, exclude=True, repr=False)
    async_client: Any = Field(default=None, exclude=True, repr=False)

    _made: tuple[tuple[Any, ...], ClientPair] | None = PrivateAttr(default=None)

    @model_validator(mode="before")
    @classmethod
    def _rename(cls, values: Any) -> Any:
        if isinstance(values, dict) and "request_timeout" in values:
            values = dict(values)
            values.setdefault("timeout", values.pop("request_timeout"))
        return values

    @model_validator(mode="after")
    def _connect(self) -> Self:
        """Fail at construction when there is no key, and keep what the environment said.

        Raises:
            ConfigurationError: No key, or a setting that is unusable. It is no ValueError, so pydantic lets it pass.
            TypeError: A client is not one of this library's.
        """
        for name, kind in (("client", Together), ("async_client", AsyncTogether)):
            if not isinstance(getattr(self, name), kind | None):
                raise TypeError(f"{name} must be a together_adapters.{kind.__name__}, not {type(getattr(self, name)).__name__}")
        shared = self.client or self.async_client
        if shared is None and self.together_api_key is None:
            self.together_api_key = _read_key()
        if self.together_api_base is None:
            named = next(filter(None, map(os.environ.get, URL_VARIABLES)), DEFAULT_BASE_URL)
            self.together_api_base = shared.base_url if shared else named
        self._clients  # noqa: B018
        return self

    @property
    def _clients(self) -> ClientPair:
        """Both clients. They are made again when a field of the connection has changed, as `model_copy(update=...)` does."""
        settings = _settings(self.__dict__)
        made = self._made
        if made is None or made[0] != settings:
            self._made = made = (settings, self._pair())
        return made[1]

    def _pair(self) -> ClientPair:
        shared = self.client or self.async_client
        base_url = self.together_api_base
        options = {
            "api_key": self.together_api_key.get_secret_value() if self.together_api_key else None,
            "base_url": None if shared and shared.base_url == base_url else base_url,
            "timeout": _timeout(self.timeout),
            "max_retries": self.max_retries,
            "max_elapsed": self.max_elapsed,
            "default_headers": self.default_headers,
            "default_query": self.default_query,
        }
        if shared:
            return ClientPair(self.client, self.async_client, **options)
        given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
        client = Together(**given, http_client=self.http_client)
        other = AsyncTogether(**given, http_client=self.http_async_client) if self.http_async_client else None
        return ClientPair(client, other)

    def close(self) -> None:
        """Close the connections of synchronous calls; a `client` or `http_client` of yours stays open."""
        if self._made and not self.client and not self.async_client:
            self._made[1].sync.close()

    async def aclose(self) -> None:
        """Close the connections of asynchronous calls; an `async_client` or `http_async_client` of yours stays open."""
        if self._made and not self.client and not self.async_client:
            await self._made[1].asynchronous.aclose()

    def __getstate__(self) -> dict[Any, Any]:
        """Leave the clients at home: what is unpickled makes its own."""
        state = super().__getstate__()
        return {**state, "__pydantic_private__": {**(state["__pydantic_private__"] or {}), "_made": None}}

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Copy everything but httpx clients, which cannot be copied and are shared."""
        memo = {} if memo is None else memo
        memo.update({id(shared): shared for shared in (self.http_client, self.http_async_client) if shared is not None})
        return super().__deepcopy__(memo)


_settings = itemgetter(*Connection.model_fields)


def _timeout(value: Any) -> float | httpx.Timeout | None:
    """Read a timeout; LangChain's users also write pairs, to connect and to read."""
    if isinstance(value, tuple | list):
        connect, read = value
        return httpx.Timeout(read, connect=connect)
    return value  # type: ignore[no-any-return]

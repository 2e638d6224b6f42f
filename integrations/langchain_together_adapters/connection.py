"""The connection settings that all adapters share, and the pair of clients that is created from them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, LiteralString, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    WrapValidator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from langchain_together_adapters.gateway import find_gateway, merge_headers
from together_adapters.transport.config import (
    BY_CLIENT,
    DEFAULT_BASE_URL,
    KEY_VARIABLE,
    URL_VARIABLES,
    check_key_host,
    environment_key,
    root_of,
)
from together_adapters.transport.http_library import new_timeout
from together_adapters.types.requests import Timeout

if TYPE_CHECKING:
    from together_adapters.client import ClientPair


class EnvironmentKey(SecretStr):
    """A key from the environment: its pickle contains no secret and reads the environment again."""

    def __reduce__(self) -> Any:
        return _read_key_again, ()

    def __copy__(self, memo: Any = None) -> EnvironmentKey:
        return self

    __deepcopy__ = __copy__


def _read_key() -> EnvironmentKey | None:
    key = os.environ.get(KEY_VARIABLE)
    return EnvironmentKey(key) if key else None


def _read_key_again() -> EnvironmentKey:
    return _read_key() or EnvironmentKey("")


_KEEP_ENVIRONMENT_KEY = WrapValidator(lambda value, validate: value if isinstance(value, EnvironmentKey) else validate(value))


class Connection(BaseModel):
    """The settings of the connection.

    Attributes:
        together_api_key: The key (alias `api_key`); default `TOGETHER_API_KEY`, which is sent to Together, to this machine, and to
            the host of the variable for the base URL. A key that is passed in is part of a pickle of the adapter; one from the
            environment is not.
        together_api_base: The base URL (alias `base_url`), with or without a trailing `/v1`; default `TOGETHER_BASE_URL`,
            `TOGETHER_API_BASE`, the service. Another server needs its own `api_key`; one of this machine may need none.
        timeout: Seconds, a `Timeout` of httpx or httpx2, or a pair of connect and read timeouts, for each attempt; 600 when None.
        max_retries: Retries after transport failures, 408, 429 and 5xx; 2 when None.
        max_elapsed: Maximum number of seconds for a call with its retries; unlimited when None.
        default_headers: Headers for every request. Dumps leave them out.
        default_query: Query parameters for every request. Dumps leave them out.
        transport: What transfers requests: `fast` (extra `fast`), `httpx` or `httpx2`; httpx when None.
        http_client: A client of httpx or httpx2 for synchronous calls.
        http_async_client: A client of httpx or httpx2 for asynchronous calls.
        client: A `together_adapters.Together` to share; it replaces the key. Other settings beside it hold for this object alone.
        async_client: A `together_adapters.AsyncTogether` to share; either client is created from the settings of the other.
        control: A `together_adapters.Control` with limits, a budget and a ledger; None for that of a shared client. Dumps leave it out.
    """

    model_config = ConfigDict(populate_by_name=True, protected_namespaces=(), arbitrary_types_allowed=True)

    together_api_key: Annotated[SecretStr | None, _KEEP_ENVIRONMENT_KEY] = Field(default=None, alias="api_key")
    together_api_base: str | None = Field(default=None, alias="base_url")
    timeout: Any = None
    max_retries: Annotated[int | None, BY_CLIENT] = None
    max_elapsed: Annotated[float | None, BY_CLIENT] = None
    default_headers: Annotated[Mapping[str, str] | None, BY_CLIENT] = Field(default=None, exclude=True, repr=False)
    default_query: Annotated[Mapping[str, Any] | None, BY_CLIENT] = Field(default=None, exclude=True, repr=False)
    transport: Annotated[str | None, BY_CLIENT] = None
    http_client: Any = Field(default=None, exclude=True, repr=False)
    http_async_client: Any = Field(default=None, exclude=True, repr=False)
    client: Any = Field(default=None, exclude=True, repr=False)
    async_client: Any = Field(default=None, exclude=True, repr=False)
    control: Any = Field(default=None, exclude=True, repr=False)

    _cache: tuple[tuple[Any, ...], ClientPair] | None = PrivateAttr(default=None)
    _gateway_headers: dict[str, str] | None = PrivateAttr(default=None)
    """Headers for the LangSmith gateway; None where requests do not go through it. Dumps and traces leave them out."""

    _takes_gateway: ClassVar[bool] = False

    @property
    def lc_secrets(self) -> dict[str, str]:
        """The variable of the key, so that what is loaded again sends each key to its own host."""
        return {"together_api_key": KEY_VARIABLE if self._gateway_headers is None else "LANGSMITH_GATEWAY_API_KEY"}

    @model_validator(mode="before")
    @classmethod
    def _rename(cls, values: Any) -> Any:
        if isinstance(values, dict) and "request_timeout" in values:
            values = dict(values)
            values.setdefault("timeout", values.pop("request_timeout"))
        return values

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown(cls, values: Any) -> Any:
        """Refuse names that are no fields, where pydantic would, with what may be meant."""
        if cls.model_config.get("extra") != "forbid" or not isinstance(values, dict):
            return values
        if unknown := sorted(values.keys() - names_of(cls)):
            from together_adapters.suggestions import suggestion

            fields = sorted(names_of(cls))
            raise field_errors(
                cls,
                "extra_forbidden",
                {name: f"{cls.__name__} has no field {name}{suggestion(name, fields)}" for name in unknown},
            )
        return values

    @model_validator(mode="after")
    def _connect(self) -> Self:
        """Read the environment and create the clients. `ConfigurationError` is no `ValueError`, so pydantic lets it pass."""
        from together_adapters.client import check_clients  # half of what importing an adapter would cost

        check_clients(self.client, self.async_client)
        shared = self.client or self.async_client
        if self._takes_gateway:
            self._use_gateway(has_url=shared is not None or any(map(os.environ.get, URL_VARIABLES)))
        if shared is None and self.together_api_key is None:
            self.together_api_key = _read_key()
        if self.together_api_base is None:
            default = next(filter(None, map(os.environ.get, URL_VARIABLES)), DEFAULT_BASE_URL)
            self.together_api_base = shared.base_url if shared else default
        self._clients  # noqa: B018
        return self

    def _use_gateway(self, *, has_url: bool) -> None:
        gateway = find_gateway(self.together_api_base, self.together_api_key, has_url_variable=has_url)
        if gateway is not None:
            self.together_api_base, self.together_api_key = gateway.base_url, gateway.api_key
            self._gateway_headers = dict(gateway.headers)

    @property
    def _clients(self) -> ClientPair:
        """Both clients. They are created again after a setting has changed, as by `model_copy(update=...)`."""
        settings = _settings(self.__dict__)
        cache = self._cache
        if cache is None or cache[0] != settings:
            self._cache = cache = (settings, self._new_clients())
        return cache[1]

    def _new_clients(self) -> ClientPair:
        from together_adapters.client import ClientPair

        shared = self.client or self.async_client
        base_url = self.together_api_base
        options: dict[str, Any] = {
            "api_key": self._api_key(),
            "base_url": None if shared and shared.base_url == base_url else base_url,
            "timeout": _timeout(self.timeout),
            **{
                name: getattr(self, name)
                for name in ("max_retries", "max_elapsed", "default_headers", "default_query", "control", "transport")
            },
        }
        if self._gateway_headers is not None:
            options["default_headers"] = merge_headers(self.default_headers, self._gateway_headers)
        http_clients = {"http_client": self.http_client, "http_async_client": self.http_async_client}
        return ClientPair(self.client, self.async_client, **http_clients, **options)

    def _api_key(self) -> str | None:
        """Return the key; that of the environment only for a server that is to get it."""
        key = self.together_api_key
        if not isinstance(key, EnvironmentKey):
            return key.get_secret_value() if key else None
        root = root_of(self.together_api_base)
        check_key_host(root)
        return key.get_secret_value() or environment_key(root, required=True)

    def close(self) -> None:
        """Close the connections of synchronous calls; a shared `client` or `http_client` stays open."""
        if self._cache and not self.client and not self.async_client:
            self._cache[1].sync.close()

    async def aclose(self) -> None:
        """Close the connections of asynchronous calls; a shared `async_client` or `http_async_client` stays open."""
        if self._cache and not self.client and not self.async_client:
            await self._cache[1].asynchronous.aclose()

    def __getstate__(self) -> dict[Any, Any]:
        """Leave the clients out; the unpickled adapter creates its own."""
        state = super().__getstate__()
        return {**state, "__pydantic_private__": {**(state["__pydantic_private__"] or {}), "_cache": None}}

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Copy everything except HTTP clients, which cannot be copied and are shared."""
        memo = {} if memo is None else memo
        memo.update({id(shared): shared for shared in (self.http_client, self.http_async_client) if shared is not None})
        return super().__deepcopy__(memo)


_settings = itemgetter(*Connection.model_fields)


def _timeout(value: Any) -> float | Timeout | None:
    """Return a timeout; LangChain also accepts pairs of connect and read timeouts."""
    if isinstance(value, tuple | list) and len(value) == 2:
        connect, read = value
        return new_timeout(read, connect=connect)
    return value  # type: ignore[no-any-return]


@lru_cache
def names_of(cls: type[BaseModel]) -> frozenset[str]:
    """Return the names and aliases of the fields of a class."""
    aliases = {str(field.validation_alias) for field in cls.model_fields.values() if field.validation_alias}
    return frozenset({*cls.model_fields, *aliases, "request_timeout"})


def field_errors(cls: type[BaseModel], code: LiteralString, messages: Mapping[str, str]) -> ValidationError:
    """Return errors of fields, without their values: a mistyped name may be that of the key, and other errors of validators show it."""
    details = [
        InitErrorDetails(type=PydanticCustomError(code, "{problem}", {"problem": text}), loc=(name,), input=name)
        for name, text in messages.items()
    ]
    return ValidationError.from_exception_data(cls.__name__, details)

"""The way to the service that the three components share: settings, the clients made from them, and what may travel.

The key and the headers stay out of every dump, repr and event. Clients are made once, without opening a connection, and
never travel in a pickle: the other side makes its own from the settings, or from its environment.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from llama_index.core.bridge.pydantic import Field, PrivateAttr, field_serializer, field_validator
from llama_index.core.schema import BaseComponent
from pydantic import SecretStr

if TYPE_CHECKING:
    from llama_index_together_adapters.pair import Connection
    from together_adapters.client import AsyncTogether, Together

_SETTINGS = frozenset(
    {
        "api_key",
        "api_base",
        "timeout",
        "max_retries",
        "max_elapsed",
        "default_headers",
        "default_query",
        "client",
        "async_client",
    }
)


class Connected(BaseComponent):
    """A component that talks to the service.

    Attributes:
        api_key: The key; else `TOGETHER_API_KEY`. Passed in, it travels in a pickle; from the environment, not.
        api_base: Where to send, also accepted as `base_url`; else `TOGETHER_BASE_URL`, `TOGETHER_API_BASE`, the service.
        timeout: Seconds, or an `httpx.Timeout`, for each attempt. None for the client's own, 600 s.
        max_retries: Requests after the first. None for the client's own, 2.
        max_elapsed: Seconds that a call may take with its retries.
        default_headers: Headers for every request.
        default_query: Query parameters for every request.
        client: A client to share; no key is needed then.
        async_client: An asynchronous client to share, likewise.
    """

    api_key: SecretStr | None = Field(default=None, exclude=True, repr=False)
    api_base: str | None = Field(default=None)
    timeout: Any = Field(default=None)
    max_retries: int | None = Field(default=None, ge=0)
    max_elapsed: float | None = Field(default=None, gt=0)
    default_headers: Mapping[str, str] | None = Field(default=None, exclude=True, repr=False)
    default_query: Mapping[str, Any] | None = Field(default=None, exclude=True, repr=False)
    client: Any = Field(default=None, exclude=True, repr=False)
    async_client: Any = Field(default=None, exclude=True, repr=False)

    _connection: Connection | None = PrivateAttr(default=None)

    moot: ClassVar[frozenset[str]] = frozenset({"class_name"})
    """Arguments of the packages that this one replaces which have nothing to change here."""

    def __init__(self, **data: Any) -> None:
        base_url = data.pop("base_url", None)
        if data.get("api_base") is None:
            data["api_base"] = base_url
        if unknown := data.keys() - type(self).model_fields.keys() - self.moot:
            listed = ", ".join(sorted(unknown))
            warnings.warn(f"{type(self).__name__} has no field {listed}; it is ignored", UserWarning, stacklevel=3)
        super().__init__(**data)
        self._connection = connection = self._connect()
        if self.api_base is None:
            super().__setattr__("api_base", connection.config.base_url)  # nothing to connect anew for

    @field_validator("timeout")
    @classmethod
    def _read_timeout(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            import httpx

            return httpx.Timeout(**value)
        return value

    @field_serializer("timeout")
    def _write_timeout(self, value: Any) -> Any:
        return value.as_dict() if hasattr(value, "as_dict") else value

    @property
    def sync_client(self) -> Together:
        """The synchronous client in use."""
        return (self._connection or self._reconnect()).sync

    @property
    def asynchronous_client(self) -> AsyncTogether:
        """The asynchronous client in use."""
        return (self._connection or self._reconnect()).asynchronous

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy. It shares the connections, unless settings of theirs are updated."""
        copied = super().model_copy(update=dict(update) if update else None, deep=deep)
        if update and not _SETTINGS.isdisjoint(update):
            copied._connection = None
        return copied

    def _connect(self) -> Connection:
        from llama_index_together_adapters.pair import Connection

        given = self.client or self.async_client
        key = self.api_key
        return Connection(
            cast("Together | None", self.client),
            cast("AsyncTogether | None", self.async_client),
            api_key=key.get_secret_value() if isinstance(key, SecretStr) else key,
            base_url=None if given is not None and given.base_url == self.api_base else self.api_base,
            timeout=self.timeout,
            max_retries=self.max_retries,
            max_elapsed=self.max_elapsed,
            default_headers=self.default_headers,
            default_query=self.default_query,
        )

    def _reconnect(self) -> Connection:
        self._connection = connection = self._connect()
        return connection

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "api_key" and isinstance(value, str):
            value = SecretStr(value)
        super().__setattr__(name, value)
        if name in _SETTINGS:
            self._connection = None

    def __getstate__(self) -> dict[str, Any]:
        for shared in (self.client, self.async_client):
            if shared is not None:
                shared.__reduce__()  # one that cannot travel says so; core would drop it and send elsewhere
        return super().__getstate__()

"""The two clients: settings, resources, and the driver that performs them. A resource is imported when it is first used."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar

import httpx

from together_adapters.transport.async_driver import AsyncDriver
from together_adapters.transport.binding import Async, AsyncRaw, D, R, Sync, SyncRaw
from together_adapters.transport.config import DEFAULT_MAX_RETRIES, DEFAULT_TIMEOUT, Config, resolve, root_of
from together_adapters.transport.connections import AsyncConnections, Connections
from together_adapters.transport.logs import configure_logging
from together_adapters.transport.retry import RetryPolicy
from together_adapters.transport.sync_driver import SyncDriver

if TYPE_CHECKING:
    from together_adapters.finetune.reports.report import DataReport
    from together_adapters.resources.audio import Audio
    from together_adapters.resources.batches import Batches
    from together_adapters.resources.chat import Chat
    from together_adapters.resources.code_interpreter import CodeInterpreter
    from together_adapters.resources.completions import Completions
    from together_adapters.resources.embeddings import Embeddings
    from together_adapters.resources.endpoints import Endpoints
    from together_adapters.resources.evaluation import Evaluation
    from together_adapters.resources.files import Files
    from together_adapters.resources.fine_tuning import FineTuning
    from together_adapters.resources.images import Images
    from together_adapters.resources.models import Models
    from together_adapters.resources.rerank import Rerank
    from together_adapters.resources.videos import Videos

H = TypeVar("H", httpx.Client, httpx.AsyncClient)


class _NotGiven:
    def __repr__(self) -> str:
        return "NOT_GIVEN"


NOT_GIVEN: Final[Any] = _NotGiven()


class _Client(Generic[D, R, H]):
    """Settings, and the resources bound to a driver of one flavour."""

    _driver: Any

    def __init__(
        self,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        timeout: float | httpx.Timeout | None = DEFAULT_TIMEOUT,
        max_retries: int = DEFAULT_MAX_RETRIES,
        max_elapsed: float | None = None,
        supplied_headers: Mapping[str, str] | None = None,
        default_headers: Mapping[str, str] | None = None,
        default_query: Mapping[str, Any] | None = None,
        http_client: H | None = None,
    ) -> None:
        """Set up a client. No connection is opened until the first call.

        Args:
            api_key: The key; else `TOGETHER_API_KEY`. Passed in, it travels in a pickle of the client; from the environment, not.
            base_url: Where to send, with or without a trailing `/v1`; else `TOGETHER_BASE_URL`, `TOGETHER_API_BASE`, the service.
            timeout: Seconds, or an `httpx.Timeout`, for each attempt: to connect, and between two reads. None waits for ever.
            max_retries: Requests after the first, on transport failures, 408, 429 and 5xx.
            max_elapsed: Seconds that a call may take with all its retries; for a stream, until it opens. None for no bound.
            supplied_headers: Headers for every request, under the name of the `together` 1.x SDK.
            default_headers: Headers for every request.
            default_query: Query parameters for every request.
            http_client: An httpx client of yours, for its proxies, certificates or transport; it stays yours to close.

        Raises:
            ConfigurationError: There is no key, or a setting is unusable.
        """
        configure_logging()
        headers = {**(supplied_headers or {}), **(default_headers or {})}
        config = resolve(api_key, base_url, timeout, max_retries, max_elapsed, headers, default_query or {})
        self._start(config, self._connect(http_client), owner=True)

    def _start(self, config: Config, connections: Any, *, owner: bool) -> None:
        self._config = config
        self._driver = self._drive(config, connections)
        self._owner = owner

    @abstractmethod
    def _connect(self, http_client: H | None) -> Any: ...

    @abstractmethod
    def _drive(self, config: Config, connections: Any) -> Any: ...

    @cached_property
    def chat(self) -> Chat[D, R]:
        """Chat completions: `chat.completions.create`."""
        from together_adapters.resources.chat import Chat

        return Chat(self._driver)

    @cached_property
    def completions(self) -> Completions[D, R]:
        """Completions of a plain prompt."""
        from together_adapters.resources.completions import Completions

        return Completions(self._driver)

    @cached_property
    def embeddings(self) -> Embeddings[D, R]:
        """Embeddings of any number of texts."""
        from together_adapters.resources.embeddings import Embeddings

        return Embeddings(self._driver)

    @cached_property
    def rerank(self) -> Rerank[D, R]:
        """Documents in the order of their relevance."""
        from together_adapters.resources.rerank import Rerank

        return Rerank(self._driver)

    @cached_property
    def models(self) -> Models[D, R]:
        """The catalogue of models."""
        from together_adapters.resources.models import Models

        return Models(self._driver)

    @cached_property
    def images(self) -> Images[D, R]:
        """Images of a prompt."""
        from together_adapters.resources.images import Images

        return Images(self._driver)

    @cached_property
    def audio(self) -> Audio[D, R]:
        """Text to speech, speech to text, and voices."""
        from together_adapters.resources.audio import Audio

        return Audio(self._driver)

    @cached_property
    def videos(self) -> Videos[D, R]:
        """Videos of a prompt, made in jobs."""
        from together_adapters.resources.videos import Videos

        return Videos(self._driver)

    @cached_property
    def code_interpreter(self) -> CodeInterpreter[D, R]:
        """Python on the service's machines."""
        from together_adapters.resources.code_interpreter import CodeInterpreter

        return CodeInterpreter(self._driver)

    @cached_property
    def endpoints(self) -> Endpoints[D, R]:
        """Models on hardware of one's own."""
        from together_adapters.resources.endpoints import Endpoints

        return Endpoints(self._driver)

    @cached_property
    def files(self) -> Files[D, R]:
        """Data files: upload, check, wait, download."""
        from together_adapters.resources import files

        files.load_checker = _load_checker
        return files.Files(self._driver)

    @cached_property
    def batches(self) -> Batches[D, R]:
        """Many requests in one file, answered within a day."""
        from together_adapters.resources.batches import Batches

        return Batches(self._driver)

    @cached_property
    def fine_tuning(self) -> FineTuning[D, R]:
        """Models trained on files of yours, in jobs."""
        from together_adapters.resources.fine_tuning import FineTuning

        return FineTuning(self._driver)

    @cached_property
    def evaluation(self) -> Evaluation[D, R]:
        """Answers that a judge model sorts, marks or compares, in jobs."""
        from together_adapters.resources.evaluation import Evaluation

        return Evaluation(self._driver)

    @property
    def evals(self) -> Evaluation[D, R]:
        """`evaluation`, under the name of newer SDKs."""
        return self.evaluation

    @property
    def base_url(self) -> str:
        """Where requests go, with the version: `https://api.together.xyz/v1`."""
        return self._config.base_url

    @property
    def config(self) -> Config:
        """The settings that arguments and environment gave. Its repr shows no secret."""
        return self._config

    def with_options(
        self,
        *,
        api_key: str = NOT_GIVEN,
        base_url: str = NOT_GIVEN,
        timeout: float | httpx.Timeout | None = NOT_GIVEN,
        max_retries: int = NOT_GIVEN,
        max_elapsed: float | None = NOT_GIVEN,
        supplied_headers: Mapping[str, str] = NOT_GIVEN,
        default_headers: Mapping[str, str] = NOT_GIVEN,
        default_query: Mapping[str, Any] = NOT_GIVEN,
    ) -> Self:
        """Return a client with some settings changed that shares this one's connections.

        Headers and query are added to those of this client. Closing the copy leaves the connections open.
        """
        given = {name: value for name, value in locals().items() if name != "self" and value is not NOT_GIVEN}
        return self._sharing(_changed(self._config, given), self._driver.connections)

    def perform(self, step: Any) -> Any:
        """Perform a described exchange: a `Call`, a `StreamCall` or a `Flow`.

        The adapters use this; other users call the resources.
        """
        return self._driver.perform(step)

    @classmethod
    def _sharing(cls, config: Config, connections: Any = None) -> Self:
        client = cls.__new__(cls)
        client._start(config, connections or client._connect(None), owner=connections is None)
        return client

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self.base_url!r})"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: Any) -> Self:
        return self

    def __reduce__(self) -> Any:
        if self._driver.connections.external:
            raise TypeError("a client with an http_client of yours cannot be pickled: connections cannot travel")
        config = self._config
        return _unpickled, (type(self), replace(config, api_key="") if config.key_from_environment else config)


def _load_checker() -> Callable[..., DataReport]:
    """Import the file checker of `finetune`, which resources do not know, when a file is checked first."""
    from together_adapters.finetune.validation.check_jsonl import check_jsonl

    return check_jsonl


class Together(_Client[Sync, SyncRaw, httpx.Client]):
    """A client of the Together API, safe to share between threads.

    Close it, or use it as a context manager, to close its connections.
    """

    def _connect(self, http_client: httpx.Client | None) -> Connections:
        return Connections(http_client)

    def _drive(self, config: Config, connections: Connections) -> SyncDriver:
        return SyncDriver(config, connections)

    def to_async(self) -> AsyncTogether:
        """Return an asynchronous client with the same settings and its own connections."""
        return AsyncTogether._sharing(self._config)

    def close(self) -> None:
        """Close the connections. Copies made by `with_options` and an `http_client` of yours are left to their owners."""
        if self._owner:
            self._driver.connections.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()


class AsyncTogether(_Client[Async, AsyncRaw, httpx.AsyncClient]):
    """An asynchronous client of the Together API, for any number of event loops in turn or at once.

    Close it, or use it as an asynchronous context manager; connections left open close with their event loop.
    """

    def _connect(self, http_client: httpx.AsyncClient | None) -> AsyncConnections:
        return AsyncConnections(http_client)

    def _drive(self, config: Config, connections: AsyncConnections) -> AsyncDriver:
        return AsyncDriver(config, connections)

    def to_sync(self) -> Together:
        """Return a synchronous client with the same settings and its own connections."""
        return Together._sharing(self._config)

    async def aclose(self) -> None:
        """Close the connections. Copies made by `with_options` and an `http_client` of yours are left to their owners."""
        if self._owner:
            await self._driver.connections.aclose()

    close = aclose

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


def _changed(config: Config, given: Mapping[str, Any]) -> Config:
    """Return settings with changes."""
    fields: dict[str, Any] = {
        "policy": RetryPolicy(
            given.get("max_retries", config.policy.max_retries), given.get("max_elapsed", config.policy.max_elapsed)
        ),
        "timeout": given.get("timeout", config.timeout),
        "headers": {**config.headers, **given.get("supplied_headers", {}), **given.get("default_headers", {})},
        "query": {**config.query, **given.get("default_query", {})},
    }
    if "base_url" in given:
        fields["root"] = root_of(given["base_url"])
    if "api_key" in given:
        fields |= {"api_key": given["api_key"], "key_from_environment": False}
    return replace(config, **fields)


def _unpickled(kind: type[_Client[Any, Any, Any]], config: Config) -> _Client[Any, Any, Any]:
    """Rebuild a client; a key that came from the environment is read from it again."""
    if not config.api_key:
        policy = config.policy
        config = resolve(
            None, config.base_url, config.timeout, policy.max_retries, policy.max_elapsed, config.headers, config.query
        )
    return kind._sharing(config)


class ClientPair:
    """Both flavours of one client, as an adapter needs them: given, or made on first use."""

    def __init__(self, client: Together | None = None, async_client: AsyncTogether | None = None, **options: Any) -> None:
        """Take the clients that were given, and make what is missing from them or from options.

        Args:
            client: A synchronous client to share.
            async_client: An asynchronous client to share.
            **options: Those of `Together`; None means not given. With a client, they make a copy that shares its connections.

        Raises:
            ConfigurationError: No client was given, and there is no key.
        """
        given = {name: value for name, value in options.items() if value is not None}
        if client is None and async_client is None:
            client = Together(**given)
        elif given:
            client = client and client.with_options(**given)
            async_client = async_client and async_client.with_options(**given)
        self._sync = client
        self._async = async_client

    @property
    def config(self) -> Config:
        """The settings of both. Not kept here, so that a pickle holds the key only as the clients allow."""
        return (self._sync or self.asynchronous).config

    @property
    def sync(self) -> Together:
        """The synchronous client."""
        if self._sync is None:
            self._sync = self.asynchronous.to_sync()
        return self._sync

    @property
    def asynchronous(self) -> AsyncTogether:
        """The asynchronous client."""
        if self._async is None:
            self._async = self.sync.to_async()
        return self._async

    def __deepcopy__(self, memo: Any) -> ClientPair:
        return self

"""The two clients: their settings, resources and connections."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Self, TypeVar

from together_adapters.errors import ConfigurationError, hides_frames
from together_adapters.resources.account.any_path import request_any
from together_adapters.resources.account.identity import whoami
from together_adapters.suggestions import suggests_keywords
from together_adapters.transport.async_driver import AsyncDriver
from together_adapters.transport.binding import Async, AsyncRaw, D, R, Resource, Sync, SyncRaw, method
from together_adapters.transport.config import (
    DEFAULT_MAX_RETRIES,
    DEFAULT_TIMEOUT,
    ClientMemory,
    Config,
    configure_logging,
    environment_headers,
    environment_key,
    resolve,
    root_of,
    valid_headers,
    valid_key,
    valid_project,
    valid_query,
    warn_unencrypted,
)
from together_adapters.transport.connections import AsyncConnections, Connections
from together_adapters.transport.environment import check_environment
from together_adapters.transport.http_library import AsyncHTTPClient, HTTPClient, LibraryName, TransportName, library_of
from together_adapters.transport.redaction import client_secrets
from together_adapters.transport.retry import RetryPolicy
from together_adapters.transport.sync_driver import SyncDriver
from together_adapters.types.requests import Timeout

if TYPE_CHECKING:
    from together_adapters.control.control import Control
    from together_adapters.finetune.reports.report import DataReport
    from together_adapters.resources.account.projects import Projects
    from together_adapters.resources.account.usage import Usage
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

__tracebackhide__ = hides_frames

H = TypeVar("H")


class _NotGiven:
    def __repr__(self) -> str:
        return "NOT_GIVEN"


NOT_GIVEN: Final[Any] = _NotGiven()
"""The default of an option that is left unchanged."""


class _Resource:
    """A resource of a client, imported when it is first used: the class that the annotation names, in the module of its name."""

    def __init__(self, doc: str, folder: str = "resources") -> None:
        self.__doc__ = doc
        self._folder = folder

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name
        self._class = owner.__annotations__[name].partition("[")[0]

    def __get__(self, client: Any, owner: Any = None) -> Any:
        if client is None:
            return self
        module = import_module(f"together_adapters.{self._folder}.{self._name}")
        resource = client.__dict__[self._name] = getattr(module, self._class)(client._driver)
        return resource


_resource: Any = _Resource  # for type checkers, the value of an annotated attribute


class _Resources(Resource[D, R]):
    """The methods and resources of a client, on a driver of one flavour."""

    with_raw_response: _Resources[R, R]

    if not TYPE_CHECKING:

        @property
        def with_raw_response(self):
            """The same methods and resources; each returns a `RawResponse`: the result with status and headers."""
            return _Resources(self._driver.raw)

    request = method(request_any)
    whoami = method(whoami)

    chat: Chat[D, R] = _resource("Chat completions: `chat.completions.create`.")
    completions: Completions[D, R] = _resource("Completions of a prompt.")
    embeddings: Embeddings[D, R] = _resource("Embeddings of any number of texts.")
    rerank: Rerank[D, R] = _resource("Documents sorted by their relevance to a query.")
    models: Models[D, R] = _resource("The catalogue of models.")
    images: Images[D, R] = _resource("Images generated from a prompt.")
    audio: Audio[D, R] = _resource("Speech from text, text from speech, and voices.")
    videos: Videos[D, R] = _resource("Videos generated from a prompt, as jobs.")
    code_interpreter: CodeInterpreter[D, R] = _resource("Python code that runs on the service's machines.")
    endpoints: Endpoints[D, R] = _resource("Models on dedicated hardware.")
    fine_tuning: FineTuning[D, R] = _resource("Fine-tuning jobs.")
    evaluation: Evaluation[D, R] = _resource("Evaluations by a judge model, as jobs.")
    projects: Projects[D, R] = _resource("Projects and their endpoints, which have deployments.", "resources.account")
    usage: Usage[D, R] = _resource("What the organization has used, and what it costs.", "resources.account")

    @cached_property
    def files(self) -> Files[D, R]:
        """Data files: upload, check, wait, download."""
        from together_adapters.resources import files

        files.load_checker = _load_checker
        return files.Files(self._driver)

    @cached_property
    def batches(self) -> Batches[D, R]:
        """Many requests in one file, completed within a day."""
        from together_adapters.resources import batches

        batches.load_runner = _load_runner
        return batches.Batches(self._driver)

    @property
    def evals(self) -> Evaluation[D, R]:
        """The same as `evaluation`, as newer SDKs name it."""
        return self.evaluation


@suggests_keywords
class _Client(_Resources[D, R], Generic[D, R, H]):
    """The settings of a client, and its resources on a driver of one flavour."""

    _connect: ClassVar[Any]  # class of the connections
    _drive: ClassVar[Any]  # class of the driver
    is_async: ClassVar[bool]  # whether its methods return coroutines
    _http_client: ClassVar[str]  # name of the class of a supplied HTTP client
    _driver: Any

    def __init__(
        self,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        timeout: float | Timeout | None = DEFAULT_TIMEOUT,
        max_retries: int = DEFAULT_MAX_RETRIES,
        max_elapsed: float | None = None,
        supplied_headers: Mapping[str, str] | None = None,
        default_headers: Mapping[str, str] | None = None,
        default_query: Mapping[str, Any] | None = None,
        project_id: str | None = None,
        http_client: H | None = None,
        http_library: LibraryName | None = None,
        transport: TransportName | None = None,
        control: Control | None = None,
    ) -> None:
        """Creates a client. The first request opens the first connection.

        Args:
            api_key: The API key; by default `TOGETHER_API_KEY`, which is sent to Together, to this machine, and to the host of the
                variable for the base URL; a server of this machine may need none. A pickle of the client contains the argument, not
                the variable.
            base_url: The base URL, with or without a trailing `/v1`; by default `TOGETHER_BASE_URL`, `TOGETHER_API_BASE`, the
                service. Another server needs its own `api_key`.
            timeout: Seconds, or a `Timeout` of httpx or httpx2, for each attempt: to connect, and between two reads. None for no
                limit.
            max_retries: Requests after the first, on transport failures, 408, 429 and 5xx except 501; not if
                the body says that credit is used up or the prompt is too long.
            max_elapsed: Seconds that a call may take with all its retries; for a stream or a download, until its body begins. None
                for no limit.
            supplied_headers: Headers for every request, as the `together` 1.x SDK names them.
            default_headers: Headers for every request, over those of `TOGETHER_CUSTOM_HEADERS`: lines of `Name: value`, which are sent
                where the key of the variable is sent.
            default_query: Query parameters for every request.
            project_id: The project of calls that belong to one; by default `TOGETHER_PROJECT_ID`, then the project of the API key.
            http_client: A client of httpx or httpx2 with its own proxies, certificates or transport. The caller closes it.
            http_library: `httpx` or `httpx2` (extra `httpx2`), which transfers the requests; by default that of `http_client`,
                else httpx.
            transport: `fast` (extra `fast`): an HTTP stack in Rust, which takes a fraction of the CPU time; what it cannot do as httpx
                does goes over `http_library`. Or the name of a library, as `http_library`.
            control: A `Control` with limits, a budget and a ledger for the calls of this client; any number of clients may share it.

        Raises:
            ConfigurationError: The key is missing or not meant for the server, a setting is invalid, or `http_library` or
                `transport` is not installed.
        """
        configure_logging()
        headers = {**valid_headers(supplied_headers or {}, "supplied_headers"), **valid_headers(default_headers or {})}
        library = library_of(http_library, http_client, self._http_client, transport)
        config = resolve(
            api_key,
            base_url,
            timeout,
            max_retries,
            max_elapsed,
            headers,
            default_query or {},
            library.name,
            project_id,
            control,
            library.transport,
        )
        if http_client is None:
            check_environment(library, config.root)
        else:
            config = replace(config, http_secrets=tuple(client_secrets(http_client)))
        self._start(config, self._connect(library, http_client), owner=True)

    def _start(self, config: Config, connections: Any, *, owner: bool) -> None:
        self._config = config
        self._driver = self._drive(config, connections)
        self._owner = owner

    @property
    def base_url(self) -> str:
        """The base URL with its version, such as `https://api.together.xyz/v1`."""
        return self._config.base_url

    @property
    def config(self) -> Config:
        """The settings, from arguments and environment. The repr shows no secret."""
        return self._config

    @suggests_keywords
    def with_options(
        self,
        *,
        api_key: str = NOT_GIVEN,
        base_url: str = NOT_GIVEN,
        timeout: float | Timeout | None = NOT_GIVEN,
        max_retries: int = NOT_GIVEN,
        max_elapsed: float | None = NOT_GIVEN,
        supplied_headers: Mapping[str, str] = NOT_GIVEN,
        default_headers: Mapping[str, str] = NOT_GIVEN,
        default_query: Mapping[str, Any] = NOT_GIVEN,
        project_id: str | None = NOT_GIVEN,
        control: Control | None = NOT_GIVEN,
    ) -> Self:
        """Returns a client with other settings that shares the connections of this one.

        Headers and query are added to those of this client. Closing the copy leaves the connections open.
        """
        options = {name: value for name, value in locals().items() if name != "self" and value is not NOT_GIVEN}
        return self._create(_with_options(self._config, options), self._driver.connections)

    def perform(self, step: Any) -> Any:
        """Performs a `Call`, a `StreamCall` or a `Flow`. The adapters use this; other users call the resources."""
        return self._driver.perform(step)

    @classmethod
    def _create(cls, config: Config, connections: Any = None) -> Self:
        client = cls.__new__(cls)
        owner = connections is None
        client._start(
            config,
            client._connect(library_of(config.http_library, transport=config.transport)) if owner else connections,
            owner=owner,
        )
        return client

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self.base_url!r})"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: Any) -> Self:
        return self

    def __reduce__(self) -> Any:
        if self._driver.connections.external:
            raise TypeError("a client with a supplied http_client cannot be pickled")
        config = self._config
        config = replace(config, environment_headers={}, api_key="" if config.key_from_environment else config.api_key)
        return _from_pickle, (type(self), config)


def _load_checker() -> Callable[..., DataReport]:
    """Imports the file checker of `finetune`, which resources do not know, when the first file is checked."""
    from together_adapters.finetune.recognition import check_jsonl

    return check_jsonl


def _load_runner() -> Callable[..., Any]:
    """Imports the function that runs requests as batch jobs, which resources do not know, when the first run starts."""
    from together_adapters.bulk.runs import run_batches

    return run_batches


class Together(_Client[Sync, SyncRaw, HTTPClient]):
    """A client of the Together API, safe to share between threads.

    Close it, or use it as a context manager.
    """

    is_async = False
    _http_client = "Client"
    _connect = Connections
    _drive = SyncDriver

    def to_async(self) -> AsyncTogether:
        """Returns an asynchronous client with the same settings and its own connections."""
        return AsyncTogether._create(self._config)

    def close(self) -> None:
        """Closes the connections. A copy made by `with_options` does not close them, nor is a supplied `http_client` closed."""
        if self._owner:
            self._driver.connections.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class AsyncTogether(_Client[Async, AsyncRaw, AsyncHTTPClient]):
    """An asynchronous client of the Together API, for any number of event loops in turn or at once.

    Close it, or use it as an asynchronous context manager; connections left open close with their event loop.
    """

    is_async = True
    _http_client = "AsyncClient"
    _connect = AsyncConnections
    _drive = AsyncDriver

    def to_sync(self) -> Together:
        """Returns a synchronous client with the same settings and its own connections."""
        return Together._create(self._config)

    async def aclose(self) -> None:
        """Closes the connections. A copy made by `with_options` does not close them, nor is a supplied `http_client` closed."""
        if self._owner:
            await self._driver.connections.aclose()

    close = aclose

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()


def _with_options(config: Config, options: Mapping[str, Any]) -> Config:
    policy = config.policy
    headers = [valid_headers(options.get(name) or {}, name) for name in ("supplied_headers", "default_headers")]
    fields: dict[str, Any] = {
        "policy": RetryPolicy(options.get("max_retries", policy.max_retries), options.get("max_elapsed", policy.max_elapsed)),
        "timeout": options.get("timeout", config.timeout),
        "headers": {**config.headers, **headers[0], **headers[1]},
        "query": {**config.query, **valid_query(options.get("default_query") or {})},
        "control": options.get("control", config.control),
    }
    if "base_url" in options:
        root = root_of(options["base_url"])
        fields |= {"root": root, "environment_headers": environment_headers(root)}
    if options.keys() & {"base_url", "api_key", "project_id"}:
        project = valid_project(options["project_id"]) if "project_id" in options else config.memory.project_id
        fields["memory"] = ClientMemory(project)
    if "api_key" in options:
        fields |= {"api_key": valid_key(options["api_key"]), "key_from_environment": False}
    elif "base_url" in options and (config.key_from_environment or not config.api_key):
        key = environment_key(fields["root"])
        fields |= {"api_key": key, "key_from_environment": bool(key)}
    warn_unencrypted(fields.get("root", config.root))
    return replace(config, **fields)


def _from_pickle(kind: type[_Client[Any, Any, Any]], config: Config) -> _Client[Any, Any, Any]:
    """Returns a client; a key that came from the environment is read from it again, and so are its headers."""
    key = environment_key(config.root, required=True) if config.key_from_environment else config.api_key
    return kind._create(replace(config, api_key=key, environment_headers=environment_headers(config.root)))


def check_clients(client: object, async_client: object) -> None:
    """Raises a TypeError for what are no clients to share."""
    for name, value, kind in (("client", client, Together), ("async_client", async_client, AsyncTogether)):
        if not isinstance(value, kind | None):
            raise TypeError(f"{name} must be a together_adapters.{kind.__name__}, not {type(value).__name__}")


class ClientPair:
    """A client of each flavour with the same settings, as adapters need them; the missing one is created on first use."""

    def __init__(
        self,
        client: Together | None = None,
        async_client: AsyncTogether | None = None,
        *,
        http_client: Any = None,
        http_async_client: Any = None,
        **options: Any,
    ) -> None:
        """Takes clients to share, or creates them. Options that are not None apply to copies that share their connections.

        Raises:
            ConfigurationError: There are clients to share and clients of an HTTP library or a transport, or one of these is of
                another kind.
        """
        options = {name: value for name, value in options.items() if value is not None}
        has_http_client = http_client is not None or http_async_client is not None
        if client is None and async_client is None:
            if http_async_client is not None:
                async_client = AsyncTogether(**options, http_client=http_async_client)
            if http_client is not None or async_client is None:
                client = Together(**options, http_client=http_client)
        elif has_http_client:
            raise ConfigurationError("http_client does not go with a client to share, which has its own: pass one of them")
        elif "transport" in options:
            raise ConfigurationError("transport does not go with a client to share, which has its own: pass one of them")
        elif options:
            client = client and client.with_options(**options)
            async_client = async_client and async_client.with_options(**options)
        self._sync = client
        self._async = async_client

    @property
    def config(self) -> Config:
        """The settings of both. Not stored here, so that a pickle contains the key only as the clients allow."""
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

"""Fixtures of all tests: an emulator, and clients of both flavours."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import httpx2
import pytest
from hypothesis import settings

from together_adapters import AsyncTogether, Together
from together_adapters.emulator import Emulator, serve
from together_adapters.emulator.store import file_store, records
from together_adapters.transport import http_library as http_library_module

# No deadlines: the machine may be busy. `make test-slow` tries all examples, others a third, which differ from run to run.
settings.register_profile("thorough", deadline=None)
settings.register_profile("quick", deadline=None, max_examples=33)
settings.load_profile("quick")


def example_count(count: int, **options: Any) -> settings:
    """Settings of a test that tries so many examples, if the profile is thorough."""
    return settings(max_examples=max(5, count * settings().max_examples // 100), **options)


PACKAGES = {
    "langchain": ("langchain_core", "langchain_tests"),
    "llama_index": ("llama_index.core",),
    "telemetry": ("opentelemetry.sdk",),
    "cookbook": ("langchain", "langchain_classic", "langgraph", "llama_index.core", "bm25s", "tqdm", "msgspec", "pyarrow"),
}
"""The packages that all tests of a folder need."""

HANG = 60.0  # seconds that only a program that hangs takes
NEVER = 3600.0  # a delay that no test waits for

KEY = "sk-test-4f1d2c3b5a69788796a5b4c3d2e1f000"


def pytest_configure(config: pytest.Config) -> None:
    """Enables Ctrl-C, which shells disable for background processes and their children.

    If Python writes no bytecode beside its sources, it writes to another folder: the many processes that tests start would otherwise
    compile the frameworks each time.
    """
    if sys.dont_write_bytecode and not sys.pycache_prefix:
        sys.dont_write_bytecode = False
        sys.pycache_prefix = str(config.rootpath / ".pytest_cache" / "bytecode")
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Half as many workers again as cores: tests wait for timers, other processes and the network."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores * 3 // 2


class _FolderWithoutPackages(pytest.Directory):
    """A folder whose tests are skipped, because a package that they need is not installed."""

    missing: str

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        pytest.skip(f"not installed: {self.missing}", allow_module_level=True)


def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Skips folders whose packages are not installed, before any of their modules is imported."""
    names = PACKAGES.get(path.name, ()) if path.parent == Path(__file__).parent else ()
    missing = [name for name in names if not _is_installed(name)]
    if not missing:
        return None
    folder: _FolderWithoutPackages = _FolderWithoutPackages.from_parent(parent, path=path)
    folder.missing = ", ".join(missing)
    return folder


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # the package that contains it
        return False


def eventually(condition: Callable[[], object]) -> bool:
    """Waits until a condition holds; returns whether it does."""
    end = time.monotonic() + HANG
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


async def eventually_async(condition: Callable[[], object]) -> bool:
    """Waits until a condition holds, while the event loop runs; returns whether it does."""
    return await asyncio.to_thread(eventually, condition)


def count_function_calls(action: Callable[[], object]) -> int:
    """Returns the number of Python functions that an action calls: a measure of cost that does not depend on the machine."""
    count = 0
    thread = threading.get_ident()

    def profile(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call" and threading.get_ident() == thread

    previous = sys.getprofile()
    sys.setprofile(profile)
    try:
        action()
    finally:
        sys.setprofile(previous)
    return count


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests do not depend on the environment of the developer. Keys of other vendors are set, to prove that they are not read."""
    for name in list(os.environ):
        if name.startswith(("TOGETHER_", "EMBEDDING_")) and name not in (
            "TOGETHER_RECORDINGS",
            "TOGETHER_FINETUNE_CASES",
            "TOGETHER_OPENAPI",
        ):
            monkeypatch.delenv(name)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai-must-never-be-sent")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/openai")
    if llm := sys.modules.get("llama_index_together_adapters.llm"):  # each test sees the warnings that a program gives once
        monkeypatch.setattr(llm, "_warned_models", set())


@pytest.fixture(scope="session", autouse=True)
def quick_emulator() -> Iterator[None]:
    """The emulator checks files and makes videos ten times as fast as it usually does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file_store, "_STAGES", tuple((end / 10, name) for end, name in file_store._STAGES))
        patch.setattr(records, "_VIDEO_SECONDS", records._VIDEO_SECONDS / 10)
        yield


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs tests that are marked `both_http_libraries` or `every_transport` on each of them, if they talk to a server."""
    if "transport" not in metafunc.fixturenames:
        return
    fast = pytest.param("fast", marks=pytest.mark.skipif(not _is_installed("wreq"), reason="the extra `fast` is not installed"))
    names: dict[str, list[Any]] = {"every_transport": ["httpx", "httpx2", fast], "both_http_libraries": ["httpx", "httpx2"]}
    for marker in metafunc.definition.iter_markers():  # the closest first
        if marker.name in names:
            metafunc.parametrize("transport", names[marker.name], indirect=True)
            return


@pytest.fixture
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the transport of clients that name none."""
    name: str = getattr(request, "param", "httpx")
    if name == "fast":
        load = http_library_module._load
        monkeypatch.setattr(http_library_module, "_load", lambda name, transport="fast": load(name, transport))
    else:
        monkeypatch.setattr(http_library_module, "DEFAULT", name)
    return name


@pytest.fixture
def http_library(transport: str) -> Any:
    """The module of the HTTP library on which clients run that name none."""
    return httpx2 if transport == "httpx2" else httpx


@pytest.fixture(scope="session")
def shared_emulator() -> Iterator[Emulator]:
    with serve(job_seconds=0.5, any_model=True) as running:
        yield running


@pytest.fixture(scope="session")
def idle_emulator(shared_emulator: Emulator) -> Iterator[Callable[[], Emulator]]:
    """Returns an emulator without requests in progress: another one, once a test left a request that would count in the next."""
    emulators = [shared_emulator]
    with ExitStack() as stack:

        def emulator() -> Emulator:
            for _ in range(100):
                if not emulators[-1].in_flight:
                    return emulators[-1]
                time.sleep(0.005)
            emulators.append(stack.enter_context(serve(job_seconds=0.5, any_model=True)))
            return emulators[-1]

        yield emulator


@pytest.fixture
def emulator(idle_emulator: Callable[[], Emulator], http_library: Any) -> Iterator[Emulator]:
    """A running emulator without recorded requests, pending faults or data."""
    emulator = idle_emulator()
    emulator.reset()
    yield emulator
    if emulator.requests:
        # A request that a test gave up may still arrive. It is served before this one, and takes no fault from the next test.
        emulator.clear()
        with closing(HTTPConnection(urlsplit(emulator.base_url).netloc)) as connection:  # httpx would load certificates: 30 ms
            connection.request("GET", "/")
            connection.getresponse().read()
    emulator.clear()


class _Body(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A body that was made for httpx, on httpx2."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        with _as_httpx2():
            yield from self._stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx2():
            async for data in self._stream:
                yield data


@contextmanager
def _as_httpx2() -> Iterator[None]:
    try:
        yield
    except httpx.TransportError as error:
        raise getattr(httpx2, type(error).__name__)(str(error)) from None


class Flavour:
    """Runs a scenario, which is written once, on the synchronous or the asynchronous client."""

    def __init__(self, name: str, base_url: str, http_library: Any = httpx) -> None:
        self.name = name
        self.http_library = http_library
        self.is_async = name == "async"
        self._base_url = base_url
        self._runner = asyncio.Runner() if self.is_async else None
        self._clients: list[Any] = []
        self._http_clients: list[Any] = []

    def client(self, **options: Any) -> Any:
        """Creates a client, which is closed after the test."""
        kind = AsyncTogether if self.is_async else Together
        client = kind(**{"api_key": KEY, "base_url": self._base_url, **options})
        self._clients.append(client)
        return client

    def http_client(self, **options: Any) -> Any:
        """Creates a client of the HTTP library, which is closed after the test."""
        client = (self.http_library.AsyncClient if self.is_async else self.http_library.Client)(**options)
        self._http_clients.append(client)
        return client

    def mock_client(self, answer: Callable[[Any], httpx.Response]) -> Any:
        """Creates a client of the HTTP library whose responses a function makes, which knows httpx alone."""
        transport = self.http_library.MockTransport(lambda request: self._converted(answer(request)))
        return self.http_client(transport=transport)

    def _converted(self, response: httpx.Response) -> Any:
        if self.http_library is httpx:
            return response
        body = {"content": response.content} if response.is_closed else {"stream": _Body(response.stream)}
        return self.http_library.Response(response.status_code, headers=response.headers.multi_items(), **body)

    def run(self, result: Any) -> Any:
        """Returns the result of a call, awaited if necessary."""
        return self._runner.run(_to_coroutine(result)) if self._runner and hasattr(result, "__await__") else result

    def iterate(self, stream: Any) -> Iterator[Any]:
        """Iterates over a stream of either flavour."""
        if self._runner is None:
            yield from stream
            return
        while True:
            try:
                yield self._runner.run(_to_coroutine(anext(stream)))
            except StopAsyncIteration:
                return

    def close(self) -> None:
        for client in self._clients:
            self.run(client.close())
        for client in self._http_clients:
            self.run(client.aclose() if self.is_async else client.close())
        if self._runner:
            self._runner.close()


async def _to_coroutine(result: Any) -> Any:
    return await result


@pytest.fixture(params=["sync", "async"])
def flavour(request: pytest.FixtureRequest, emulator: Emulator, http_library: Any) -> Iterator[Flavour]:
    flavour = Flavour(request.param, emulator.base_url, http_library)
    yield flavour
    flavour.close()


@pytest.fixture
def recordings() -> str:
    """The folder of recorded exchanges."""
    folder = os.environ.get("TOGETHER_RECORDINGS")
    if not folder:
        pytest.skip("TOGETHER_RECORDINGS names no folder of recorded exchanges")
    return folder


RAY_SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "RAY_DATA_DISABLE_PROGRESS_BARS": "1"}


@pytest.fixture(scope="module")
def ray_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cluster of Ray on this machine, which takes some 10 seconds to start. It talks to nobody but itself."""
    ray = pytest.importorskip("ray")
    home = tmp_path_factory.mktemp("home")
    # Without this file Ray asks the metadata service of clouds, at 169.254.169.254, where it runs.
    (home / "ray_bootstrap_config.yaml").write_text("{}")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**RAY_SETTINGS, "HOME": str(home)}.items():
            patch.setenv(name, value)
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False, _node_ip_address="127.0.0.1")
        yield
        ray.shutdown()


@pytest.fixture
def question() -> dict[str, Any]:
    """Parameters of a small chat."""
    return {"model": "deepseek-ai/DeepSeek-V4.1-Flash", "messages": [{"role": "user", "content": "Say hello to Ann."}]}

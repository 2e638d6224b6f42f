"""The LangSmith gateway: requests go there with its key, and the key of Together AI goes nowhere but to its own host."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

core = pytest.importorskip("langchain_core.utils._gateway", reason="this langchain-core knows no gateway")
if not hasattr(core, "langsmith_gateway"):
    pytest.skip("this langchain-core has no context of a gateway", allow_module_level=True)

from langchain_core.load import dumpd
from langchain_core.tracers.base import BaseTracer
from langchain_together_adapters import ChatTogether, Together, TogetherEmbeddings, load

from tests.transport.conftest import RawServer
from together_adapters import AsyncTogether, ConfigurationError
from together_adapters import Together as Client

from .test_agents import FLAVOURS

TOGETHER_KEY, GATEWAY_KEY = "sk-together-secret-0123456789", "lsv2_gateway_secret_0123456789"
BODY = b'{"id": "o1", "model": "m", "choices": [{"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}]}'
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(BODY), BODY)


@pytest.fixture
def server() -> Iterator[RawServer]:
    server = RawServer().answer(ANSWER)
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOGETHER_API_KEY", TOGETHER_KEY)
    for name in ("LANGSMITH_GATEWAY", "LANGSMITH_GATEWAY_API_KEY", "LANGSMITH_API_KEY"):
        monkeypatch.delenv(name, raising=False)


async def ask(llm: ChatTogether, flavour: str) -> None:
    assert (llm.invoke("Hi") if flavour == "sync" else await llm.ainvoke("Hi")).content == "Hi"


def check(server: RawServer, key: str = GATEWAY_KEY) -> str:
    """The one request, which has the gateway's key and no other."""
    [request] = [request.decode("latin-1") for request in server.requests]
    assert request.startswith("POST /gateway/together/v1/chat/completions ")
    assert f"\r\nauthorization: bearer {key}\r\n" in request.lower()
    assert TOGETHER_KEY not in request
    return request


FIELDS: dict[str, Any] = {
    "bare": dict,
    "key": lambda: {"api_key": TOGETHER_KEY},
    "url": lambda: {"base_url": "http://127.0.0.1:9/v1", "api_key": TOGETHER_KEY},
    "header": lambda: {"default_headers": {"Authorization": f"Bearer {TOGETHER_KEY}", "x-team": "old", "x-kept": "1"}},
    "client": lambda: {"client": Client(api_key=TOGETHER_KEY)},
    "async_client": lambda: {"async_client": AsyncTogether(api_key=TOGETHER_KEY)},
}


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("fields", FIELDS)
async def test_a_context_counts_over_everything(fields: str, flavour: str, server: RawServer) -> None:
    with core.langsmith_gateway(api_key=GATEWAY_KEY, base_url=server.base_url, headers={"X-Team": "new"}):
        llm = ChatTogether(model="m", **FIELDS[fields]())
    await ask(llm, flavour)
    request = check(server).lower()
    assert "x-team: new" in request
    assert "x-team: old" not in request
    assert ("x-kept: 1" in request) == (fields == "header")


def test_outside_the_context_nothing_changes(server: RawServer) -> None:
    with core.langsmith_gateway(api_key=GATEWAY_KEY, base_url=server.base_url):
        embeddings, completer = TogetherEmbeddings(model="m"), Together(model="m")
    for other in (ChatTogether(model="m"), embeddings, completer):
        assert "api.together" in str(other.together_api_base)
        key = other.together_api_key
        assert key is not None
        assert key.get_secret_value() == TOGETHER_KEY


class TestEnvironment:
    @pytest.fixture(autouse=True)
    def gateway(self, server: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LANGSMITH_GATEWAY", server.base_url)

    @pytest.mark.parametrize("flavour", FLAVOURS)
    @pytest.mark.parametrize("variable", ["LANGSMITH_GATEWAY_API_KEY", "LANGSMITH_API_KEY"])
    @pytest.mark.parametrize("key", [None, TOGETHER_KEY, "lsv2_other"])
    async def test_the_key_is_the_gateways(
        self, key: str | None, variable: str, flavour: str, server: RawServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(variable, GATEWAY_KEY)
        await ask(ChatTogether(model="m", api_key=key), flavour)
        check(server, "lsv2_other" if key == "lsv2_other" else GATEWAY_KEY)

    def test_without_a_key_nothing_is_sent(self, server: RawServer) -> None:
        for fields in ({}, {"api_key": TOGETHER_KEY}):
            with pytest.raises(ConfigurationError, match="LANGSMITH_GATEWAY_API_KEY") as raised:
                ChatTogether(model="m", **fields)
            assert TOGETHER_KEY not in str(raised.value)
        assert not server.requests

    def test_a_base_url_counts_over_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert ChatTogether(model="m", base_url="http://127.0.0.1:9").together_api_base == "http://127.0.0.1:9"
        assert "together" in str(ChatTogether(model="m", client=Client()).together_api_base)
        monkeypatch.setenv("TOGETHER_BASE_URL", "http://127.0.0.1:8")
        assert ChatTogether(model="m").together_api_base == "http://127.0.0.1:8"


METADATA = {"provider": "together", "model": "m-1"}
CHUNK = b'data: {"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
HEADER = b"X-LangSmith-Gateway-Metadata: %s" % json.dumps(METADATA).encode()


def answer(body: bytes, kind: bytes, *headers: bytes) -> bytes:
    head = [b"HTTP/1.1 200 OK", b"content-type: " + kind, b"content-length: %d" % len(body), *headers]
    return b"\r\n".join([*head, b"", body])


class Runs(BaseTracer):
    """Keeps the metadata of runs."""

    def __init__(self) -> None:
        super().__init__()
        self.metadata: list[Any] = []

    def _persist_run(self, run: Any) -> None:
        self.metadata.append(run.extra.get("metadata", {}).get("ls_gateway_info"))


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("with_headers", [False, True])
@pytest.mark.parametrize("key", ["gateway", "passed"])
@pytest.mark.parametrize("header", [HEADER, b"X-LangSmith-Gateway-Metadata: [", b"x-other: 1"])
async def test_traces_have_what_the_gateway_says(
    header: bytes, key: str, with_headers: bool, streaming: bool, flavour: str, server: RawServer
) -> None:
    server.answer(answer(CHUNK, b"text/event-stream", header) if streaming else answer(BODY, b"application/json", header))
    options: dict[str, Any] = {"model": "m", "streaming": streaming, "include_response_headers": with_headers}
    if key == "passed":
        llm = ChatTogether(base_url=f"{server.base_url}/together/v1", api_key=GATEWAY_KEY, **options)
    else:
        with core.langsmith_gateway(api_key="a-key-of-another-form", base_url=server.base_url):
            llm = ChatTogether(**options)
    runs = Runs()
    config: Any = {"callbacks": [runs]}
    message = llm.invoke("Hi", config) if flavour == "sync" else await llm.ainvoke("Hi", config)
    assert message.content == "Hi"
    assert core.GATEWAY_METADATA_RESPONSE_KEY not in message.response_metadata
    assert ("headers" in message.response_metadata) == with_headers
    assert runs.metadata == [METADATA if header == HEADER else None]


async def test_copies_and_dumps(server: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with core.langsmith_gateway(api_key=GATEWAY_KEY, base_url=server.base_url, headers={"X-Team": "secret-team"}):
        llm = ChatTogether(model="m")
    dump = dumpd(llm)
    for secret in (GATEWAY_KEY, TOGETHER_KEY, "secret-team"):
        assert secret not in f"{dump!r} {llm!r}"
    for copy in (llm.model_copy(update={"temperature": 0.5}), pickle.loads(pickle.dumps(llm))):
        server.requests.clear()
        copy.invoke("Hi")
        assert "x-team: secret-team" in check(server).lower()
    with core.langsmith_gateway(api_key=GATEWAY_KEY, base_url="https://gateway.example"):
        elsewhere = dumpd(ChatTogether(model="m"))
    with pytest.raises(ConfigurationError) as raised:
        load(elsewhere)  # the key of Together AI is not for that host
    assert TOGETHER_KEY not in str(raised.value)
    server.requests.clear()
    monkeypatch.setenv("LANGSMITH_GATEWAY_API_KEY", GATEWAY_KEY)
    load(dump).invoke("Hi")
    check(server)

"""What a chat model tells of the response beneath a message, and how long it waits for the next chunk of a stream."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any

import httpx
import pytest
from langchain_core.exceptions import ModelTimeoutError
from langchain_together_adapters import ChatTogether, Together
from pydantic import BaseModel

from tests.conftest import HANG
from tests.transport.conftest import RawServer
from together_adapters import APITimeoutError, ConfigurationError
from together_adapters.emulator import Emulator

from .conftest import KEY, MODEL
from .test_agents import FLAVOURS

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
COMMENT = b": keepalive\n\n"
LIMIT = 0.3

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")


class Answer(BaseModel):
    """An answer."""

    text: str


def chunk(text: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "text": text, "delta": {"content": text}, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "o1", "model": MODEL, "choices": [choice]}).encode() + b"\n\n"


@pytest.fixture
def server() -> Iterator[RawServer]:
    server = RawServer()
    yield server
    server.stop()


def send(server: RawServer, parts: Any, seconds: float) -> None:
    """Let the server send parts of a stream at a pace, and keep the connection open behind them."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(HEAD)
        for part in parts:
            connection.sendall(part)
            if server.stopped.wait(seconds):
                return
        server.stopped.wait(HANG)

    server.answer(answer)


async def read(llm: Any, flavour: str, chunks: list[Any], pause: Callable[[], object] = lambda: None, **call: Any) -> list[Any]:
    if flavour == "sync":
        for each in llm.stream("Hi", **call):
            chunks.append(each)
            pause()
    else:
        async for each in llm.astream("Hi", **call):
            chunks.append(each)
            pause()
    return chunks


def text_of(chunks: list[Any]) -> str:
    return "".join(chunk if isinstance(chunk, str) else chunk.text for chunk in chunks)


@pytest.fixture(params=["own", "supplied"])
def fields(request: pytest.FixtureRequest, server: RawServer) -> dict[str, Any]:
    """Fields of an adapter on connections of the library, and on those of a client that the user supplies."""
    clients = {} if request.param == "own" else {"http_client": httpx.Client(), "http_async_client": httpx.AsyncClient()}
    return {"model": MODEL, "api_key": KEY, "base_url": server.base_url, **clients}


@pytest.mark.parametrize("kind", [ChatTogether, Together])
@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("silence", ["silent", "comments", "head"])
async def test_a_stream_without_a_next_chunk_ends(
    silence: str, flavour: str, kind: Any, fields: dict[str, Any], server: RawServer
) -> None:
    first = [] if silence == "head" else [chunk("a"), chunk("b")]
    send(server, first if silence == "silent" else [*first, *repeat(COMMENT, 1000)], 0.01)
    chunks: list[Any] = []
    begin = time.monotonic()
    with pytest.raises(APITimeoutError, match=r"stream_chunk_timeout: no chunk for 0\.3 s") as raised:
        await read(kind(**fields, max_retries=2, stream_chunk_timeout=LIMIT), flavour, chunks)
    assert isinstance(raised.value, ModelTimeoutError)
    assert LIMIT / 2 < time.monotonic() - begin < HANG / 10
    assert (text_of(chunks), len(server.requests)) == ("" if silence == "head" else "ab", 1)


@pytest.mark.parametrize("library", ["aiohttp", "httpx2"])
@pytest.mark.parametrize("silence", ["silent", "comments"])
async def test_any_client_ends_a_stream_without_a_next_chunk(silence: str, library: str, server: RawServer) -> None:
    """aiohttp keeps a limit of reads that cannot be moved."""
    module = pytest.importorskip("httpx_aiohttp" if library == "aiohttp" else library)
    first = [chunk("a"), chunk("b")]
    send(server, first if silence == "silent" else [*first, *repeat(COMMENT, 1000)], 0.01)
    chunks: list[Any] = []
    begin = time.monotonic()
    async with (module.HttpxAiohttpClient if library == "aiohttp" else module.AsyncClient)() as client:
        options: dict[str, Any] = {"base_url": server.base_url, "http_async_client": client, "stream_chunk_timeout": LIMIT}
        with pytest.raises(APITimeoutError, match=r"stream_chunk_timeout: no chunk for 0\.3 s"):
            await read(ChatTogether(model=MODEL, api_key=KEY, **options), "async", chunks)
    assert time.monotonic() - begin < HANG / 10
    assert text_of(chunks) == "ab"


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_each_chunk_has_the_whole_time(flavour: str, fields: dict[str, Any], server: RawServer) -> None:
    """Neither a long stream nor a slow reader breaks the limit."""
    send(server, [chunk("x") for _ in range(8)] + [chunk("", "stop"), b"data: [DONE]\n\n"], LIMIT / 4)
    llm = ChatTogether(**fields, stream_chunk_timeout=LIMIT)
    pauses = iter([LIMIT * 2])
    chunks = await read(llm, flavour, [], lambda: time.sleep(next(pauses, 0)))
    assert text_of(chunks) == "x" * 8


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_a_call_has_a_limit_of_its_own(flavour: str, fields: dict[str, Any], server: RawServer) -> None:
    send(server, [chunk("a")], 0)
    for kind in (ChatTogether, Together):
        with pytest.raises(APITimeoutError, match="stream_chunk_timeout"):
            await read(kind(**fields, stream_chunk_timeout=HANG), flavour, [], stream_chunk_timeout=0.05)
        assert b"stream_chunk_timeout" not in server.requests[-1]


@pytest.mark.parametrize("value", [0, None])
def test_there_may_be_no_limit(value: float | None, connect: dict[str, Any]) -> None:
    assert list(ChatTogether(model=MODEL, stream_chunk_timeout=value, **connect).stream("Hi"))


def test_a_limit_is_positive(connect: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="stream_chunk_timeout"):
        ChatTogether(model=MODEL, stream_chunk_timeout=-1, **connect)


class TestHeaders:
    @pytest.mark.parametrize("flavour", FLAVOURS)
    async def test_messages_have_them(self, flavour: str, connect: dict[str, Any]) -> None:
        llm = ChatTogether(model=MODEL, include_response_headers=True, **connect)
        whole = llm.invoke("Hi") if flavour == "sync" else await llm.ainvoke("Hi")
        first, *others = await read(llm, flavour, [])
        for message in (whole, first + others):
            headers = message.response_metadata["headers"]
            assert type(headers) is dict
            assert {"content-type", "x-request-id"} <= headers.keys()
            assert message.response_metadata["model_name"] == MODEL

    @pytest.mark.parametrize("flavour", FLAVOURS)
    async def test_events_and_structured_output_have_them(self, flavour: str, connect: dict[str, Any]) -> None:
        llm = ChatTogether(model=MODEL, include_response_headers=True, **connect)
        stream: Any = llm.stream_events("Hi", version="v3") if flavour == "sync" else await llm.astream_events("Hi", version="v3")
        message = stream.output if flavour == "sync" else await stream.output
        chain = llm.with_structured_output(Answer, include_raw=True)
        raw = (chain.invoke("Hi") if flavour == "sync" else await chain.ainvoke("Hi"))["raw"]
        assert all("x-request-id" in each.response_metadata["headers"] for each in (message, raw))

    def test_they_are_those_of_the_response_that_answers(self, connect: dict[str, Any], emulator: Emulator) -> None:
        """Of two requests, for tools and for the format."""

        def look_up(word: str) -> str:
            """Look up a word."""
            return word

        llm = ChatTogether(model=MODEL, include_response_headers=True, **connect).bind_tools([look_up], response_format=Answer)
        first, *others = llm.stream("Hi")
        for message in (llm.invoke("Hi"), first + others):
            assert message.response_metadata["headers"]["x-request-id"] == message.response_metadata["id"]
        assert len(emulator.requests) == 4

    def test_cookies_are_left_out(self, server: RawServer) -> None:
        body = json.dumps({"id": "o1", "model": MODEL, "choices": [{"index": 0, "message": {"content": "Hi"}}]}).encode()
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nset-cookie: a=b\r\nX-Other: 1\r\ncontent-length: %d\r\n\r\n"
        server.answer(head % len(body) + body)
        llm = ChatTogether(model=MODEL, api_key=KEY, base_url=server.base_url, include_response_headers=True)
        headers = llm.invoke("Hi").response_metadata["headers"]
        assert (headers["x-other"], "set-cookie" in headers) == ("1", False)

    def test_they_are_not_asked_for(self, llm: ChatTogether, emulator: Emulator) -> None:
        assert "headers" not in llm.invoke("Hi").response_metadata
        assert "headers" in llm.invoke("Hi", include_response_headers=True).response_metadata
        assert not {"include_response_headers", "extra_body"} & emulator.requests[-1].json.keys()

"""The span of a call is the same from the client and from both frameworks, synchronous, asynchronous and streamed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from tests.conftest import KEY
from tests.telemetry.conftest import Recording
from together_adapters import AsyncTogether, Together
from together_adapters.emulator import Emulator

MODEL = "openai/gpt-oss-120b"
PROMPT = "Say hello to Ann."
QUESTION: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 400}
EMBEDDER = "BAAI/bge-base-en-v1.5"
TEXTS = ["a llama", "an alpaca", "a vicuna"]
RANKER = "acme/ranker"
IDS_AND_TIMES = {"gen_ai.response.id", "together.request_id", "gen_ai.response.time_to_first_chunk"}


def comparable(span: ReadableSpan) -> Any:
    """Returns all of a span but ids and times."""
    attributes = {name: value for name, value in span.attributes.items() if name not in IDS_AND_TIMES}
    events = [(event.name, dict(event.attributes)) for event in span.events]
    return span.name, span.kind, attributes, events, span.status.status_code, span.parent is None


async def drain(stream: Any) -> None:
    async for _ in stream:
        pass


def client_ways(url: str) -> dict[str, Callable[[], Any]]:
    client, asynchronous = Together(api_key=KEY, base_url=url), AsyncTogether(api_key=KEY, base_url=url)

    async def stream() -> None:
        await drain(await asynchronous.chat.completions.create(stream=True, **QUESTION))

    return {
        "sync": lambda: client.chat.completions.create(**QUESTION),
        "async": lambda: asynchronous.chat.completions.create(**QUESTION),
        "stream": lambda: list(client.chat.completions.create(stream=True, **QUESTION)),
        "async stream": stream,
        "embed": lambda: client.embeddings.create(model=EMBEDDER, input=TEXTS),
        "async embed": lambda: asynchronous.embeddings.create(model=EMBEDDER, input=TEXTS),
        "rerank": lambda: client.rerank.create(model=RANKER, query="llama", documents=TEXTS),
        "async rerank": lambda: asynchronous.rerank.create(model=RANKER, query="llama", documents=TEXTS),
        "rerank by chat": lambda: client.rerank.create(model=MODEL, query="llama", documents=TEXTS),
        "async rerank by chat": lambda: asynchronous.rerank.create(model=MODEL, query="llama", documents=TEXTS),
    }


def langchain_ways(url: str) -> dict[str, Callable[[], Any]]:
    pytest.importorskip("langchain_core")
    from langchain_together_adapters import ChatTogether, TogetherEmbeddings, TogetherRerank

    connection: Any = {"api_key": KEY, "base_url": url}
    llm = ChatTogether(model=MODEL, max_tokens=400, **connection)
    embedder = TogetherEmbeddings(model=EMBEDDER, **connection)
    rankers = {model: TogetherRerank(model=model, top_n=None, **connection) for model in (RANKER, MODEL)}
    return {
        "sync": lambda: llm.invoke(PROMPT),
        "async": lambda: llm.ainvoke(PROMPT),
        "stream": lambda: list(llm.stream(PROMPT)),
        "async stream": lambda: drain(llm.astream(PROMPT)),
        "embed": lambda: embedder.embed_documents(TEXTS),
        "async embed": lambda: embedder.aembed_documents(TEXTS),
        "rerank": lambda: rankers[RANKER].rerank(TEXTS, "llama"),
        "async rerank": lambda: rankers[RANKER].arerank(TEXTS, "llama"),
        "rerank by chat": lambda: rankers[MODEL].rerank(TEXTS, "llama"),
        "async rerank by chat": lambda: rankers[MODEL].arerank(TEXTS, "llama"),
    }


def llama_index_ways(url: str) -> dict[str, Callable[[], Any]]:
    pytest.importorskip("llama_index.core")
    from llama_index.core.llms import ChatMessage
    from llama_index.core.schema import NodeWithScore, TextNode
    from llama_index_together_adapters import TogetherEmbedding, TogetherLLM, TogetherRerank

    connection: Any = {"api_key": KEY, "api_base": url}
    llm = TogetherLLM(model=MODEL, max_tokens=400, **connection)
    history = [ChatMessage(role="user", content=PROMPT)]
    embedder = TogetherEmbedding(model_name=EMBEDDER, **connection)
    rankers = {model: TogetherRerank(model=model, top_n=3, **connection) for model in (RANKER, MODEL)}
    nodes = [NodeWithScore(node=TextNode(text=text)) for text in TEXTS]

    async def stream() -> None:
        await drain(await llm.astream_chat(history))

    return {
        "sync": lambda: llm.chat(history),
        "async": lambda: llm.achat(history),
        "stream": lambda: list(llm.stream_chat(history)),
        "async stream": stream,
        "embed": lambda: embedder.get_text_embedding_batch(TEXTS),
        "async embed": lambda: embedder.aget_text_embedding_batch(TEXTS),
        "rerank": lambda: rankers[RANKER].postprocess_nodes(nodes, query_str="llama"),
        "async rerank": lambda: rankers[RANKER].apostprocess_nodes(nodes, query_str="llama"),
        "rerank by chat": lambda: rankers[MODEL].postprocess_nodes(nodes, query_str="llama"),
        "async rerank by chat": lambda: rankers[MODEL].apostprocess_nodes(nodes, query_str="llama"),
    }


SURFACES = {"client": client_ways, "langchain": langchain_ways, "llama_index": llama_index_ways}
EXPECTED: dict[str, Any] = {
    "chat": {
        "gen_ai.request.max_tokens": 400,
        "gen_ai.response.model": MODEL,
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 9,
    },
    "embeddings": {"gen_ai.response.model": EMBEDDER, "gen_ai.usage.input_tokens": 6},
    "rerank": {"gen_ai.response.model": RANKER},
}


def spans_of(way: Callable[[], Any], recording: Recording) -> list[Any]:
    recording.clear()
    result = way()
    if hasattr(result, "__await__"):

        async def run() -> None:
            await result

        asyncio.run(run())
    return [comparable(span) for span in recording.spans]


@pytest.mark.parametrize(
    ("operation", "names", "model"),
    [
        ("chat", ("sync", "async", "stream", "async stream"), MODEL),
        ("embeddings", ("embed", "async embed"), EMBEDDER),
        ("rerank", ("rerank", "async rerank"), RANKER),
    ],
)
def test_every_way_gives_the_same_span(
    recording_content: Recording, emulator: Emulator, operation: str, names: tuple[str, ...], model: str
) -> None:
    spans = {
        (surface, name): spans_of(ways(emulator.base_url)[name], recording_content)
        for surface, ways in SURFACES.items()
        for name in names
    }
    reference = spans["client", names[0]]
    assert [each for each in spans if spans[each] != reference] == []
    ((name, kind, attributes, events, _, is_root),) = reference
    assert (name, kind.name, is_root) == (f"{operation} {model}", "CLIENT", True)
    assert attributes["gen_ai.operation.name"] == operation
    assert attributes["gen_ai.provider.name"] == "together"
    assert attributes["gen_ai.request.model"] == model
    url = urlsplit(emulator.base_url)
    assert (attributes["server.address"], attributes["server.port"]) == (url.hostname, url.port)
    assert events == [("together.attempt", {"http.request.resend_count": 0, "http.response.status_code": 200})]
    assert attributes.items() >= EXPECTED[operation].items()


def test_a_stream_of_a_framework_that_is_left_early_ends_its_span(recording: Recording, emulator: Emulator) -> None:
    pytest.importorskip("langchain_core")
    pytest.importorskip("llama_index.core")
    from langchain_together_adapters import ChatTogether
    from llama_index_together_adapters import TogetherLLM

    for stream in (
        ChatTogether(model=MODEL, api_key=KEY, base_url=emulator.base_url).stream(PROMPT),
        TogetherLLM(model=MODEL, api_key=KEY, api_base=emulator.base_url).stream_complete(PROMPT),
    ):
        recording.clear()
        next(stream)
        assert recording.spans == []
        stream.close()
        assert recording.only_span().attributes["gen_ai.response.finish_reasons"] == ("error",)


def test_the_chat_calls_of_a_rerank_are_its_children(recording: Recording, emulator: Emulator) -> None:
    for ways in SURFACES.values():
        for name in ("rerank by chat", "async rerank by chat"):
            spans_of(ways(emulator.base_url)[name], recording)
            *chats, rerank = recording.spans
            assert rerank.name == f"rerank {MODEL}"
            assert chats
            assert {(chat.name, chat.parent.span_id) for chat in chats} == {(f"chat {MODEL}", rerank.context.span_id)}
            assert "gen_ai.usage.input_tokens" not in rerank.attributes

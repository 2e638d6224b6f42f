"""Recorded exchanges with the live service, read through the adapters: nothing that an independent reading finds is lost."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_together_adapters import ChatTogether, Together, TogetherEmbeddings, TogetherRerank

pytestmark = pytest.mark.filterwarnings("ignore::together_adapters.ModelRemovedWarning")

FOLDER = os.environ.get("TOGETHER_RECORDINGS", "")
EXCHANGES = sorted(Path(FOLDER, "exchanges").glob("*.json")) if FOLDER else []
if not EXCHANGES:
    pytest.skip("TOGETHER_RECORDINGS names no folder of recorded exchanges", allow_module_level=True)


def of_kind(kind: str) -> Any:
    """Parametrise a test by the recordings of a kind."""
    exchanges = [json.loads(path.read_text()) for path in EXCHANGES]
    selected = [exchange for exchange in exchanges if exchange["kind"] == kind]
    return pytest.mark.parametrize("exchange", selected, ids=[exchange["id"] for exchange in selected])


class SlicedBody(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body in slices that respect no boundary."""

    def __init__(self, body: bytes) -> None:
        self._slices = [body[start : start + 37] for start in range(0, len(body), 37)]

    def __iter__(self) -> Iterator[bytes]:
        yield from self._slices

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._slices:
            yield part


def replay(exchange: dict[str, Any]) -> dict[str, Any]:
    """Fields of an adapter whose responses are a recording."""
    response = exchange["response"]
    streams = "sse_text" in response or isinstance(response.get("parsed"), list)
    kind = "text/event-stream" if streams else "application/json"
    headers = {
        name: value for name, value in response["headers"].items() if name in ("retry-after", "x-ratelimit-reset", "cf-ray")
    }

    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(response["status"], headers={**headers, "content-type": kind}, stream=SlicedBody(body_of(response)))

    transport = httpx.MockTransport(handle)
    return {
        "api_key": "k",
        "max_retries": 0,
        "model": (exchange["request"]["body"] or {}).get("model") or "unknown",
        "http_client": httpx.Client(transport=transport),
        "http_async_client": httpx.AsyncClient(transport=transport),
    }


def body_of(response: dict[str, Any]) -> bytes:
    if "sse_text" in response:
        return response["sse_text"].encode()
    if isinstance(response.get("parsed"), list):
        return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in response["parsed"]).encode() + b"data: [DONE]\n\n"
    return json.dumps(response.get("json", response.get("parsed"))).encode()


def events_of(response: dict[str, Any]) -> list[dict[str, Any]]:
    lines = body_of(response).decode().splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


def read(exchange: dict[str, Any]) -> dict[str, Any]:
    """The content of a recording, parsed without the library."""
    response = exchange["response"]
    if "sse_text" not in response and not isinstance(response.get("parsed"), list):
        answer = response.get("json", response.get("parsed"))
        choice = answer["choices"][0]
        message = choice["message"]
        calls = [
            (call["id"], call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls") or []
        ]
        reasoning = message.get("reasoning") or message.get("reasoning_content") or ""
        reasons = [choice.get("finish_reason")]
        return summary(message.get("content") or "", reasoning, calls, answer.get("usage"), reasons, answer["model"], choice)
    text = reasoning = model = ""
    calls_by_index: dict[int, list[str]] = {}
    usage, reasons, last = None, [], {}
    for event in events_of(response):
        usage, model = event.get("usage") or usage, event.get("model") or model
        for choice in event["choices"]:
            delta, last = choice["delta"], choice
            reasons.append(choice.get("finish_reason"))
            text += delta.get("content") or ""
            reasoning += delta.get("reasoning") or delta.get("reasoning_content") or ""
            for call in delta.get("tool_calls") or []:
                entry = calls_by_index.setdefault(call["index"], ["", "", ""])
                entry[0] = entry[0] or call.get("id") or ""
                entry[1] = entry[1] or call["function"].get("name") or ""
                entry[2] += call["function"].get("arguments") or ""
    calls = [tuple(entry) for _, entry in sorted(calls_by_index.items())]
    return summary(text, reasoning, calls, usage, reasons, model, last)


def summary(text: str, reasoning: str, calls: Any, usage: Any, reasons: list[Any], model: str, choice: Any) -> dict[str, Any]:
    if text.lstrip().startswith("<think>"):
        inside, _, text = text.lstrip().removeprefix("<think>").partition("</think>")
        reasoning, text = reasoning + inside, text.lstrip()
    finish_reasons = [reason for reason in reasons if reason]
    return {
        "text": text,
        "reasoning": reasoning,
        "calls": [(identity, name, json.loads(arguments or "{}")) for identity, name, arguments in calls],
        "usage": usage
        and (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"], usage.get("cached_tokens")),
        "finish_reason": {"eos": "stop"}.get(finish_reasons[-1], finish_reasons[-1]) if finish_reasons else None,
        "model": model,
        "seed": choice.get("seed"),
    }


def summary_of(message: AIMessage) -> dict[str, Any]:
    """The content of the adapter's message."""
    usage = message.usage_metadata
    return {
        "text": message.content,
        "reasoning": message.additional_kwargs.get("reasoning_content", ""),
        "calls": [(call["id"], call["name"], call["args"]) for call in message.tool_calls],
        "usage": usage
        and (
            usage["input_tokens"],
            usage["output_tokens"],
            usage["total_tokens"],
            usage.get("input_token_details", {}).get("cache_read"),
        ),
        "finish_reason": message.response_metadata["finish_reason"],
        "model": message.response_metadata["model_name"],
        "seed": message.response_metadata.get("seed"),
    }


def merge(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    return chunks[0] + chunks[1:] if len(chunks) > 1 else chunks[0]


@of_kind("chat")
async def test_single_response(exchange: dict[str, Any]) -> None:
    llm = ChatTogether(**replay(exchange))
    expected = read(exchange)
    assert summary_of(llm.invoke("x")) == expected
    assert summary_of(await llm.ainvoke("x")) == expected


@of_kind("chat")
def test_single_response_as_blocks(exchange: dict[str, Any]) -> None:
    message = ChatTogether(**replay(exchange), output_version="v1").invoke("x")
    expected = read(exchange)
    assert message.text == expected["text"]
    assert (
        "".join(block["reasoning"] for block in message.content_blocks if block["type"] == "reasoning") == expected["reasoning"]
    )
    assert [block["id"] for block in message.content_blocks if block["type"] == "tool_call"] == [c[0] for c in expected["calls"]]


@of_kind("chat_stream")
async def test_streamed(exchange: dict[str, Any]) -> None:
    llm = ChatTogether(**replay(exchange))
    expected = read(exchange)
    chunks = list(llm.stream("x"))
    assert summary_of(merge(chunks)) == expected
    assert summary_of(merge([chunk async for chunk in llm.astream("x")])) == expected
    assert sum(chunk.usage_metadata is not None for chunk in chunks) == (expected["usage"] is not None)
    assert sum("model_name" in chunk.response_metadata for chunk in chunks) == 1
    assert sum(bool(chunk.response_metadata.get("finish_reason")) for chunk in chunks) == 1


@of_kind("chat_stream")
def test_streamed_as_blocks(exchange: dict[str, Any]) -> None:
    expected = read(exchange)
    llm = ChatTogether(**replay(exchange), output_version="v1")
    merged = merge(list(llm.stream("x")))
    assert merged.text == expected["text"]
    assert [(call["id"], call["name"], call["args"]) for call in merged.tool_calls] == expected["calls"]
    kinds = [block["type"] for block in merged.content_blocks]
    assert kinds.count("tool_call") == len(expected["calls"])
    assert kinds.count("text") == bool(expected["text"])
    assert kinds.count("reasoning") == bool(expected["reasoning"])


@of_kind("chat_stream")
@pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")
def test_streamed_as_events(exchange: dict[str, Any]) -> None:
    from langchain_tests.utils.stream_lifecycle import assert_valid_event_stream

    expected = read(exchange)
    stream = ChatTogether(**replay(exchange)).stream_events("x", version="v3")
    assert_valid_event_stream(stream)
    message = stream.output
    assert message.text == expected["text"]
    assert str(stream.reasoning) == expected["reasoning"]
    assert [(call["id"], call["name"], call["args"]) for call in message.tool_calls] == expected["calls"]
    assert message.response_metadata["finish_reason"] == expected["finish_reason"]


@of_kind("completions")
async def test_completion(exchange: dict[str, Any]) -> None:
    answer = exchange["response"].get("json", exchange["response"].get("parsed"))
    llm = Together(**replay(exchange))
    for result in (llm.generate(["x"]), await llm.agenerate(["x"])):
        assert result.generations[0][0].text == answer["choices"][0]["text"]
        assert result.llm_output is not None
        assert result.llm_output["token_usage"] == (answer.get("usage") or {})
        reason = answer["choices"][0]["finish_reason"]
        assert result.generations[0][0].generation_info["finish_reason"] == {"eos": "stop"}.get(reason, reason)


@of_kind("completions_stream")
async def test_streamed_completion(exchange: dict[str, Any]) -> None:
    events = [event for event in events_of(exchange["response"]) if event["choices"]]
    expected = "".join((e["choices"][0].get("delta") or {}).get("content") or e["choices"][0].get("text") or "" for e in events)
    llm = Together(**replay(exchange))
    assert "".join(llm.stream("x")) == expected
    assert "".join([text async for text in llm.astream("x")]) == expected


@of_kind("embeddings")
async def test_embeddings(exchange: dict[str, Any]) -> None:
    answer = exchange["response"].get("json", exchange["response"].get("parsed"))
    if isinstance(answer["data"][0]["embedding"], str):
        pytest.skip("recorded in base64, which is not asked for here")
    embedder = TogetherEmbeddings(**replay(exchange))
    texts = ["x"] * len(answer["data"])
    expected = [item["embedding"] for item in sorted(answer["data"], key=lambda item: item["index"])]
    assert embedder.embed_documents(texts) == expected
    assert await embedder.aembed_documents(texts) == expected


@of_kind("rerank")
async def test_rerank(exchange: dict[str, Any]) -> None:
    answer = exchange["response"].get("json", exchange["response"].get("parsed"))
    documents = ["x"] * (1 + max(result["index"] for result in answer["results"]))
    reranker = TogetherRerank(**{**replay(exchange), "model": "acme/ranker"})
    expected = [{"index": result["index"], "relevance_score": result["relevance_score"]} for result in answer["results"]]
    assert reranker.rerank(documents, "x") == expected
    assert await reranker.arerank(documents, "x") == expected


@of_kind("error500_chat")
def test_server_error(exchange: dict[str, Any]) -> None:
    from langchain_core.exceptions import ModelAPIError

    with pytest.raises(ModelAPIError):
        ChatTogether(**replay(exchange)).invoke("x")

"""Recorded exchanges with the live service, read through the classes: nothing that an independent reading finds is lost."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ThinkingBlock, ToolCallBlock
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index_together_adapters import TogetherEmbedding, TogetherLLM, TogetherRerank

from together_adapters import AsyncTogether, Together, TogetherError

pytestmark = pytest.mark.filterwarnings("ignore::together_adapters.ModelRemovedWarning")

FOLDER = os.environ.get("TOGETHER_RECORDINGS", "")
EXCHANGES = [json.loads(path.read_text()) for path in sorted(Path(FOLDER, "exchanges").glob("*.json"))] if FOLDER else []
if not EXCHANGES:
    pytest.skip("TOGETHER_RECORDINGS names no folder of recorded exchanges", allow_module_level=True)
QUESTION = [ChatMessage(role="user", content="Hi")]


def of_kinds(*kinds: str) -> Any:
    """Parametrise a test by the recordings of some kinds."""
    selected = [exchange for exchange in EXCHANGES if exchange["kind"] in kinds]
    return pytest.mark.parametrize("exchange", selected, ids=[exchange["id"] for exchange in selected])


class SlicedBody(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body in slices that respect no boundary."""

    def __init__(self, body: bytes) -> None:
        self._slices = [body[start : start + 41] for start in range(0, len(body), 41)]

    def __iter__(self) -> Iterator[bytes]:
        yield from self._slices

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._slices:
            yield part


def body_of(response: dict[str, Any]) -> bytes:
    if "sse_text" in response:
        return str(response["sse_text"]).encode()
    answer = response.get("json", response.get("parsed"))
    if isinstance(answer, list):
        return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in answer) + b"data: [DONE]\n\n"
    return json.dumps(answer).encode()


def streams(response: dict[str, Any]) -> bool:
    return "sse_text" in response or isinstance(response.get("parsed"), list)


def replaying(exchange: dict[str, Any]) -> dict[str, Any]:
    """Clients whose responses are a recording."""
    response = exchange["response"]

    def handle(request: httpx.Request) -> httpx.Response:
        kind = "text/event-stream" if streams(response) else "application/json"
        return httpx.Response(response["status"], headers={"content-type": kind}, stream=SlicedBody(body_of(response)))

    transport = httpx.MockTransport(handle)
    options: dict[str, Any] = {"api_key": "k", "max_retries": 0}
    return {
        "client": Together(http_client=httpx.Client(transport=transport), **options),
        "async_client": AsyncTogether(http_client=httpx.AsyncClient(transport=transport), **options),
    }


def llm_of(exchange: dict[str, Any], **options: Any) -> TogetherLLM:
    body = exchange["request"]["body"] or {}
    return TogetherLLM(body.get("model") or "unknown", **replaying(exchange), **options)


def events_of(response: dict[str, Any]) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in body_of(response).decode().splitlines() if line.startswith("data: {")]


# The independent reading


def expected(exchange: dict[str, Any]) -> dict[str, Any]:
    response = exchange["response"]
    return expected_of_stream(events_of(response)) if streams(response) else expected_of_answer(json.loads(body_of(response)))


def expected_of_answer(answer: dict[str, Any]) -> dict[str, Any]:
    choice = answer["choices"][0]
    message = choice.get("message") or {"content": choice.get("text")}
    calls = [(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls") or []]
    reasoning = message.get("reasoning") or message.get("reasoning_content") or ""
    items = choice.get("logprobs") or {}
    logprobs = list(zip(items.get("tokens") or [], items.get("token_logprobs") or [], strict=True))
    logprobs = logprobs or [(entry["token"], entry["logprob"]) for entry in items.get("content") or []]
    return summary(message.get("content") or "", reasoning, calls, answer.get("usage"), choice["finish_reason"], logprobs)


def expected_of_stream(events: list[dict[str, Any]]) -> dict[str, Any]:
    text = reasoning = ""
    calls: dict[Any, list[str]] = {}
    usage = finish = None
    logprobs: list[tuple[str, float]] = []
    for event in events:
        usage = event.get("usage") or usage
        for choice in event["choices"][:1]:
            delta = choice.get("delta") or {}
            part = delta.get("content") or ("" if delta else choice.get("text")) or ""
            text += part
            reasoning += delta.get("reasoning") or delta.get("reasoning_content") or ""
            finish = choice.get("finish_reason") or finish
            if isinstance(choice.get("logprobs"), float | int):
                logprobs.append((part, choice["logprobs"]))
            elif choice.get("logprobs"):
                logprobs += [(entry["token"], entry["logprob"]) for entry in choice["logprobs"].get("content") or []]
            for call in delta.get("tool_calls") or []:
                parts = calls.setdefault(call.get("index"), ["", "", ""])
                parts[0] = parts[0] or call.get("id") or ""
                parts[1] = parts[1] or call["function"].get("name") or ""
                parts[2] += call["function"].get("arguments") or ""
    return summary(text, reasoning, [tuple(call) for call in calls.values()], usage, finish, logprobs)


def summary(text: str, reasoning: str, calls: Any, usage: Any, finish: Any, logprobs: Any) -> dict[str, Any]:
    if text.lstrip().startswith("<think>"):
        inside, _, text = text.lstrip().removeprefix("<think>").partition("</think>")
        reasoning += inside
        text = text.lstrip()
    named = [(call_id, name, json.loads(arguments or "{}")) for call_id, name, arguments in calls]
    reason = "stop" if finish == "eos" else finish
    return {"text": text, "thought": reasoning, "calls": named, "usage": usage, "finish": reason, "logprobs": logprobs}


# The library's reading


def summary_of(response: ChatResponse, logprobs: Any = None) -> dict[str, Any]:
    blocks = response.message.blocks
    tokens = response.logprobs if logprobs is None else logprobs
    return {
        "text": response.message.content or "",
        "thought": "".join(block.content or "" for block in blocks if isinstance(block, ThinkingBlock)),
        "calls": [(b.tool_call_id, b.tool_name, b.tool_kwargs) for b in blocks if isinstance(b, ToolCallBlock)],
        "usage": response.raw.get("usage"),
        "finish": response.additional_kwargs.get("finish_reason"),
        "logprobs": [(token[0].token, token[0].logprob) for token in tokens or ()],
    }


def summary_of_stream(items: list[ChatResponse]) -> dict[str, Any]:
    last = items[-1]
    assert "".join(item.delta or "" for item in items) == (last.message.content or "")
    streamed_reasoning = "".join(item.additional_kwargs.get("thinking_delta") or "" for item in items)
    result = summary_of(last, [token for item in items for token in item.logprobs or ()])
    assert streamed_reasoning == result["thought"]
    return result


@of_kinds("chat")
async def test_single_responses(exchange: dict[str, Any]) -> None:
    assert summary_of(llm_of(exchange).chat(QUESTION)) == expected(exchange)
    assert summary_of(await llm_of(exchange).achat(QUESTION)) == expected(exchange)


@of_kinds("chat_stream")
async def test_streams(exchange: dict[str, Any]) -> None:
    assert summary_of_stream(list(llm_of(exchange).stream_chat(QUESTION))) == expected(exchange)
    assert summary_of_stream([item async for item in await llm_of(exchange).astream_chat(QUESTION)]) == expected(exchange)


@of_kinds("chat", "chat_stream")
def test_tool_calls_are_those_that_agents_read(exchange: dict[str, Any]) -> None:
    llm = llm_of(exchange)
    response = list(llm.stream_chat(QUESTION))[-1] if streams(exchange["response"]) else llm.chat(QUESTION)
    selected = llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)
    assert [(call.tool_id, call.tool_name, call.tool_kwargs) for call in selected] == expected(exchange)["calls"]
    again = ChatMessage.model_validate_json(response.message.model_dump_json())
    assert again == response.message


@of_kinds("completions", "completions_stream")
async def test_completions(exchange: dict[str, Any]) -> None:
    llm = llm_of(exchange, is_chat_model=False)
    expected_values = expected(exchange)
    if streams(exchange["response"]):
        items = list(llm.stream_complete("Hi"))
        last = items[-1]
        assert "".join(item.delta or "" for item in items) == last.text
        others = [item async for item in await llm_of(exchange, is_chat_model=False).astream_complete("Hi")]
        assert [item.text for item in others] == [item.text for item in items]
        logprobs = [token for item in items for token in item.logprobs or ()]
    else:
        last = llm.complete("Hi")
        logprobs = last.logprobs or []
        assert (await llm_of(exchange, is_chat_model=False).acomplete("Hi")).text == last.text
    assert (last.text, last.raw.get("usage")) == (expected_values["text"], expected_values["usage"])
    assert last.additional_kwargs.get("finish_reason") == expected_values["finish"]
    assert [(token[0].token, token[0].logprob) for token in logprobs] == expected_values["logprobs"]


@of_kinds("embeddings")
async def test_embeddings(exchange: dict[str, Any]) -> None:
    from together_adapters.types.embeddings import Embedding

    body = exchange["request"]["body"]
    texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
    answer = json.loads(body_of(exchange["response"]))
    expected_values = [
        Embedding.model_validate(item).embedding for item in sorted(answer["data"], key=lambda item: item["index"])
    ]
    embedding = TogetherEmbedding(body["model"], **replaying(exchange))
    assert embedding.get_text_embedding_batch(texts) == expected_values
    assert await embedding.aget_text_embedding_batch(texts) == expected_values


@of_kinds("rerank")
async def test_rerank(exchange: dict[str, Any]) -> None:
    body = exchange["request"]["body"] or {}
    documents = body.get("documents") or [f"document {number}" for number in range(20)]
    nodes = [NodeWithScore(node=TextNode(text=str(document))) for document in documents]
    expected_values = [(item["index"], item["relevance_score"]) for item in json.loads(body_of(exchange["response"]))["results"]]
    rerank = TogetherRerank(body.get("model") or "m", top_n=body.get("top_n"), **replaying(exchange))
    for items in (
        rerank.postprocess_nodes(nodes, query_str=body.get("query") or "q"),
        await rerank.apostprocess_nodes(nodes, query_str=body.get("query") or "q"),
    ):
        indexes = [next(i for i, node in enumerate(nodes) if node.node is item.node) for item in items]
        assert [(index, item.score) for index, item in zip(indexes, items, strict=True)] == expected_values


@pytest.mark.parametrize(
    "exchange", [e for e in EXCHANGES if e["kind"].startswith("error") and "chat" in e["kind"]], ids=lambda e: e["id"]
)
async def test_refusals(exchange: dict[str, Any]) -> None:
    with pytest.raises(TogetherError) as error_info:
        llm_of(exchange).chat(QUESTION)
    with pytest.raises(type(error_info.value)):
        await llm_of(exchange).achat(QUESTION)
    assert error_info.value.status_code == exchange["response"]["status"]
